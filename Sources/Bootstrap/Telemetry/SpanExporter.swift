package import Domain
package import HTTPClient
import Synchronization

/// Sends spans to a collector (OTLP over HTTP, as JSON), behind the back of what makes them.
///
/// Recording is a lock and an append. What comes while the queue is full is dropped and counted:
/// a collector that is slow or away costs spans, never requests.
package final class SpanExporter: Sendable {
    /// Bounds on what is held and sent.
    package struct Limits: Sendable {
        /// Spans that wait: a minute of a busy server, a megabyte or two.
        package var waiting = 8_192
        /// Spans of one request to the collector.
        package var batch = 512
        /// How long a batch is waited for.
        package var interval: Duration = .seconds(2)
        /// How long the last spans may take when the server stops.
        package var farewell: Duration = .seconds(5)

        package init() {}
    }

    private struct State {
        var waiting: [Span] = []
        var dropped = 0
    }

    private let settings: TelemetrySettings
    private let version: String
    private let client: RetryingClient
    private let limits: Limits
    private let report: @Sendable (String, Int) -> Void
    private let state = Mutex(State())

    /// - Parameters:
    ///   - settings: Where to.
    ///   - version: Of the program.
    ///   - transport: How the collector is reached.
    ///   - limits: Bounds on what is held and sent.
    ///   - report: Told why spans were lost, and how many.
    package init(
        _ settings: TelemetrySettings,
        version: String,
        transport: any HTTPTransport,
        limits: Limits = Limits(),
        report: @escaping @Sendable (String, Int) -> Void
    ) {
        self.settings = settings
        self.version = version
        self.limits = limits
        self.report = report
        var policy = RetryPolicy()
        // The queue fills meanwhile: what does not go through in half a minute is given up.
        policy.maximumAttempts = 4
        policy.patience = .seconds(30)
        client = RetryingClient(transport: transport, policy: policy)
    }

    /// What takes spans for it.
    package var recorder: Trace.Recorder { { self.record($0) } }

    /// Takes a span; returns at once.
    package func record(_ span: Span) {
        state.withLock { state in
            guard state.waiting.count < limits.waiting else {
                state.dropped += 1
                return
            }
            state.waiting.append(span)
        }
    }

    /// Sends until the task is cancelled, then what is left, as far as time allows.
    package func run() async {
        while !Task.isCancelled {
            do {
                try await Task.sleep(for: limits.interval)
            } catch {
                break
            }
            while await sendBatch() {}
        }
        // The timer and the sending must outlive the cancellation that brought us here.
        let rest = Task { while await self.sendBatch() {} }
        let timer = Task { [farewell = limits.farewell] in
            try await Task.sleep(for: farewell)
            rest.cancel()
        }
        await rest.value
        timer.cancel()
    }

    /// Whether there was a batch, and it went through.
    private func sendBatch() async -> Bool {
        let (batch, dropped) = state.withLock { state in
            let batch = Array(state.waiting.prefix(limits.batch))
            state.waiting.removeFirst(batch.count)
            defer { state.dropped = 0 }
            return (batch, state.dropped)
        }
        if dropped > 0 { report("the collector is too slow", dropped) }
        guard !batch.isEmpty else { return false }
        do {
            let response = try await client.send(request(batch)) { outcome in
                RetryDecision(transient: outcome, now: 0)
            }
            guard (200..<300).contains(response.status) else {
                report("the collector answered with status \(response.status)", batch.count)
                return false
            }
            return true
        } catch {
            report("the collector cannot be reached: \(error)", batch.count)
            return false
        }
    }

    private func request(_ batch: [Span]) -> HTTPRequest {
        var limits = HTTPLimits()
        // A collector answers with a few bytes, at once.
        limits.maximumResponseByteCount = 64 << 10
        limits.connectTimeout = .seconds(5)
        limits.totalTimeout = .seconds(10)
        limits.maximumRedirects = 0
        var headers = [HTTPField("Content-Type", "application/json")]
        headers += settings.headers.map { HTTPField($0.name, $0.value.reveal()) }
        return HTTPRequest(
            method: "POST",
            url: settings.url,
            headers: headers,
            body: document(batch).serialized(),
            limits: limits
        )
    }

    // MARK: - The form of OTLP

    private func document(_ batch: [Span]) -> JSONValue {
        var resource = JSONObject()
        resource["service.name"] = .string(settings.serviceName)
        resource["service.version"] = .string(version)
        return [
            "resourceSpans": [
                [
                    "resource": ["attributes": Self.attributes(resource)],
                    "scopeSpans": [
                        [
                            "scope": ["name": "preloop", "version": .string(version)],
                            "spans": .array(batch.map(Self.json)),
                        ]
                    ],
                ]
            ]
        ]
    }

    private static func json(_ span: Span) -> JSONValue {
        var object = JSONObject()
        object.append(key: "traceId", value: .string(span.context.traceText))
        object.append(key: "spanId", value: .string(span.context.spanText))
        if let parent = span.parent {
            object.append(key: "parentSpanId", value: .string(hexadecimal(parent, digits: 16)))
        }
        if let state = span.context.state {
            object.append(key: "traceState", value: .string(state))
        }
        object.append(key: "name", value: .string(span.name))
        object.append(key: "kind", value: .integer(Int64(span.kind.rawValue)))
        let end = span.end.milliseconds * 1_000_000
        let length = Int64(span.duration / .nanoseconds(1))
        // 64-bit numbers are texts in protobuf's JSON.
        object.append(key: "startTimeUnixNano", value: .string("\(end - length)"))
        object.append(key: "endTimeUnixNano", value: .string("\(end)"))
        object.append(key: "attributes", value: attributes(span.attributes))
        object.append(key: "status", value: span.isFailure ? ["code": 2] : [:])
        return .object(object)
    }

    private static func attributes(_ object: JSONObject) -> JSONValue {
        .array(
            object.members.map { member in
                let value: JSONValue =
                    switch member.value {
                    case .integer(let number): ["intValue": .string(String(number))]
                    case .bool(let flag): ["boolValue": .bool(flag)]
                    case .double(let number): ["doubleValue": .double(number)]
                    case .string(let text): ["stringValue": .string(text)]
                    case .null, .array, .object:
                        ["stringValue": .string(member.value.serializedText())]
                    }
                return ["key": .string(member.key), "value": value]
            }
        )
    }
}
