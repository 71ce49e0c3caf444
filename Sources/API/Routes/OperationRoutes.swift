import Domain
import Glibc
import HTTPTypes
import Store

/// How the process is: for supervisors, balancers and collectors.
struct OperationRoutes: Sendable {
    let store: Store
    let version: String
    let readiness: Readiness
    let metrics: ServerMetrics
    let connections: ConnectionTable
    let authenticator: any Authenticator
    /// What else is measured.
    let samples: @Sendable () async -> [ServerMetrics.Sample]

    private static let tag = "Operation"
    /// A store that answers no single row within it is of no use to anybody.
    private static let storePatience: Duration = .seconds(3)

    /// The routes.
    var routes: [Route] {
        let state = Shape.object(["status": Shape.text, "version": Shape.text])
        return [
            .on(.get, "/healthz", .open, tag: Self.tag, "Whether the process answers") { _ in
                .json(["status": "ok", "version": .string(version)])
            }.answers(.ok, state),
            .on(.get, "/readyz", .open, tag: Self.tag, "Whether it takes work") { _ in
                guard !readiness.isDraining else {
                    throw Problem.overloaded("the server is stopping", after: 10)
                }
                guard await isStoreReadable() else {
                    throw Problem.overloaded("the store does not answer", after: 5)
                }
                return .json(["status": "ready", "version": .string(version)])
            }.answers(.ok, state).problems(.serviceUnavailable),
            .on(.get, "/metrics", .open, tag: Self.tag, "Metrics in Prometheus' text format") {
                request in
                try await checkCollector(request)
                let text = metrics.text(gauges + (await samples()))
                return APIResponse(
                    .ok,
                    headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                    body: Array(text.utf8)
                )
            }.answers(.ok, Shape.text).ofType("text/plain").withOptionalCredential,
        ]
    }

    private func isStoreReadable() async -> Bool {
        let store = store
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                let exists = try? await store.read { connection, account in
                    try AccountTable.exists(account, on: connection)
                }
                // Why it does not answer is in the log of whoever needs it for more.
                return exists == true
            }
            group.addTask {
                // Ends early when the other has answered.
                try? await Task.sleep(for: Self.storePatience)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    /// A collector on the same machine needs no key; one that comes through a proxy is not there.
    private func checkCollector(_ request: APIRequest) async throws {
        let isLocal = request.peer == "127.0.0.1" || request.peer == "::1"
        let isForwarded =
            request.headers[.forwardedFor] != nil || request.headers[.forwarded] != nil
        if isLocal, !isForwarded, request.headers[.authorization] == nil { return }
        guard let principal = try await authenticator.principal(of: request) else {
            throw Problem.unauthenticated()
        }
        guard principal.may(.viewMetrics) else {
            throw Problem.denied(.viewMetrics, to: principal)
        }
        // They are of the whole process: who registered an account has no part in the others'.
        guard principal.account == store.account else {
            throw Problem(
                .forbidden,
                "the metrics are for the installation's own account",
                code: "permission_denied"
            )
        }
    }

    private var gauges: [ServerMetrics.Sample] {
        let counts = connections.counts
        func sample(
            _ name: String,
            _ help: String,
            _ kind: String,
            _ value: Int
        ) -> ServerMetrics.Sample {
            ServerMetrics.Sample(name: name, help: help, kind: kind, value: Double(value))
        }
        var result = [
            ServerMetrics.Sample(
                name: "preloop_build_info",
                help: "The version that runs.",
                kind: "gauge",
                value: 1,
                labels: [("version", version)]
            ),
            sample(
                "preloop_http_requests_in_flight",
                "Requests that are being served.",
                "gauge",
                metrics.inFlight
            ),
            sample("preloop_http_connections", "Open connections.", "gauge", counts.open),
            sample(
                "preloop_http_connections_accepted_total",
                "Connections accepted.",
                "counter",
                counts.accepted
            ),
            sample(
                "preloop_http_connections_evicted_total",
                "Connections closed to make room.",
                "counter",
                counts.evicted
            ),
            sample(
                "preloop_http_connections_refused_total",
                "Connections turned away.",
                "counter",
                counts.refused
            ),
            sample(
                "preloop_http_connections_overdue_total",
                "Connections closed for being slow.",
                "counter",
                counts.overdue
            ),
        ]
        var usage = rusage()
        if unsafe getrusage(Int32(RUSAGE_SELF.rawValue), &usage) == 0 {
            let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            let fraction = Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1_000_000
            result.append(
                ServerMetrics.Sample(
                    name: "process_cpu_seconds_total",
                    help: "Processor time used.",
                    kind: "counter",
                    value: seconds + fraction
                )
            )
            result.append(
                sample(
                    "preloop_process_peak_resident_memory_bytes",
                    "The most memory that was resident at a time.",
                    "gauge",
                    usage.ru_maxrss * 1_024
                )
            )
        }
        return result
    }
}
