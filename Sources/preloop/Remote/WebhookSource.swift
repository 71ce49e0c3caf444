import API
import Bootstrap
import Domain
import Sync
import Trackers

/// Where the webhooks of trackers are looked after: by the installation of this machine, or by a
/// server.
///
/// Both give the same documents: those of REST.
enum WebhookSource: Sendable {
    case local(Installation)
    case remote(RemoteServer)

    /// What is registered when something was done about it.
    struct Answer: Sendable {
        /// Whose webhooks; nil for a service that a server knows and this program does not.
        var kind: TrackerKind?
        /// What is registered, refused and stored, of each organisation.
        var organizations: [JSONValue]
        /// The first refusal in the operator's terms; nil when the tracker refused nothing.
        var refusal: CommandFailure?
        /// The command by which projects of the tracker come to be followed.
        var scan: String

        /// Whether the tracker was asked, and not the store alone.
        var isAsked: Bool { organizations.allSatisfy { $0["webhooks"] != .null } }
    }

    private static let path = "/api/v1/trackers"

    /// The server of `--url`, else the installation.
    static func open(_ remote: RemoteOptions) async throws -> WebhookSource {
        let settings = try Settings.read()
        if let server = try remote.server(settings) { return .remote(server) }
        return .local(try await Installation.open(settings))
    }

    /// The refusals of one organisation, place by place.
    static func refused(_ organization: JSONValue) -> [JSONValue] {
        organization["refused"]?.array ?? []
    }

    /// Does something about the webhooks of the tracker of that name; what the tracker refuses is
    /// told as a failure to do `what`.
    func perform(
        _ task: TrackerOperations.WebhookTask,
        of name: String,
        failing what: String
    ) async throws -> Answer {
        switch self {
        case .local(let installation):
            let tracker = try await installation.tracker(named: name)
            guard tracker.isRemote else {
                throw CommandFailure(
                    .usage,
                    "`\(name)` holds imported issues; no service tells of them"
                )
            }
            let outcomes = try await Self.outcomes(task, of: tracker, in: installation)
            try await installation.close()
            return Answer(
                kind: tracker.kind,
                organizations: outcomes.map(\.json),
                refusal: outcomes.flatMap(\.refused).first.map { refusal in
                    CommandFailure(what, cause: refusal.error)
                },
                scan: "preloop-sync scan tracker \(name)"
            )
        case .remote(let server):
            let (id, kind) = try await Self.tracker(named: name, at: server)
            let organizations = try await Self.organizations(task, of: id, at: server)
            return Answer(
                kind: kind,
                organizations: organizations,
                refusal: organizations.flatMap(Self.refused).first.map { refusal in
                    CommandFailure(Self.status(of: refusal), what)
                },
                scan: "preloop api POST \(Self.path)/\(id)/sync --url \(server.url)"
            )
        }
    }

    // MARK: - On this machine

    /// Without the server's address the tracker's own are not told apart: then what is stored is
    /// shown or removed.
    private static func outcomes(
        _ task: TrackerOperations.WebhookTask,
        of tracker: Tracker,
        in installation: Installation
    ) async throws -> [WebhookInstaller.Outcome] {
        let stored = installation.storedWebhooks(of: tracker, by: Installation.localAuthor)
        if let stored, task == .look { return try await stored.status() }
        if let stored, task == .remove { return try await stored.remove() }
        let installer = try await installation.webhookInstaller(
            of: tracker,
            by: Installation.localAuthor,
            transport: try installation.transport()
        )
        return try await installer.perform(task)
    }

    // MARK: - At a server

    private static func tracker(
        named name: String,
        at server: RemoteServer
    ) async throws(CommandFailure) -> (id: Int64, kind: TrackerKind?) {
        let found = try await server.all(path).first { tracker in
            haveEqualBytes(tracker["name"]?.string ?? "", name)
        }
        guard let found, let id = found["id"]?.integer else {
            throw CommandFailure(
                .notFound,
                "there is no tracker `\(name)`",
                hint: "`preloop api GET \(path) --url \(server.url)` shows the names"
            )
        }
        return (id, (found["tracker_type"]?.string).flatMap(TrackerKind.init(rawValue:)))
    }

    private static func organizations(
        _ task: TrackerOperations.WebhookTask,
        of tracker: Int64,
        at server: RemoteServer
    ) async throws(CommandFailure) -> [JSONValue] {
        let webhooks = "\(path)/\(tracker)/webhooks"
        let request: (method: String, path: String) =
            switch task {
            case .look: ("GET", webhooks)
            case .install(renewsSecrets: true): ("POST", "\(webhooks)?new_secrets=true")
            case .install: ("POST", webhooks)
            case .remove: ("DELETE", webhooks)
            }
        let answer = try await server.call(request.method, request.path)
        return answer["organizations"]?.array ?? []
    }

    /// How the command ends by a refusal that a server tells of: as on its own machine.
    private static func status(of refusal: JSONValue) -> ExitStatus {
        switch refusal["code"]?.string {
        case "tracker_refuses_token": .authentication
        case "not_found_in_tracker": .notFound
        default: .failure
        }
    }
}
