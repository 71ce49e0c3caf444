import API
import ArgumentParser
import Bootstrap
import Domain

/// `preloop trackers webhooks …`: trackers tell of changes by themselves.
struct TrackersWebhooksCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "webhooks",
        abstract: "Have a tracker tell of changes at once.",
        discussion: """
            The tracker delivers to PRELOOP_URL, where `preloop serve` takes the deliveries in. \
            Each organisation has a secret of its own; deliveries that are not signed with it are \
            refused. Scans go on and find what no delivery told. With --url they are a server's \
            trackers, for those who may change them there.
            """,
        subcommands: [
            TrackersWebhooksInstallCommand.self, TrackersWebhooksRemoveCommand.self,
            TrackersWebhooksStatusCommand.self,
        ]
    )
}

/// What the three have in common.
struct WebhookOptions: ParsableArguments {
    @Argument(help: "The tracker's name.")
    var name: String

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    /// Does something at the tracker and shows what is there then; or in the store alone where
    /// nobody knows which of the tracker's webhooks are ours.
    ///
    /// - Parameters:
    ///   - task: What is to be done.
    ///   - what: What is said when it fails.
    /// - Throws: ``CommandFailure`` with every refusal, where something was to be changed.
    func run(_ task: TrackerOperations.WebhookTask, _ what: String) async throws {
        let source = try await WebhookSource.open(remote)
        let answer = try await attempt(what) {
            try await source.perform(task, of: name, failing: what)
        }
        guard !answer.organizations.isEmpty else {
            throw CommandFailure(
                .failure,
                "no project of `\(name)` is followed",
                hint: "scan it first: `\(answer.scan)`"
            )
        }
        if !answer.isAsked {
            let whose = remote.url == nil ? "" : " at the server"
            standardError(
                "note: PRELOOP_URL is not set\(whose), so what `\(name)` itself has registered is "
                    + "neither shown nor changed\n"
            )
        }
        try show(answer.organizations)
        if task != .look, let failure = failure(in: answer, what) { throw failure }
    }

    /// What the tracker refused, place by place; nil when it refused nothing.
    private func failure(in answer: WebhookSource.Answer, _ what: String) -> CommandFailure? {
        guard var failure = answer.refusal else { return nil }
        let refused = answer.organizations.flatMap(WebhookSource.refused)
        failure.reason = refused.prefix(10).map { refusal in
            "\(refusal["place"]?.string ?? ""): \(refusal["reason"]?.string ?? "")"
        }.joined(separator: "\n       ")
        let isHidden = refused.contains { $0["code"] == "not_found_in_tracker" }
        if isHidden, let kind = answer.kind { failure.hint = Self.rights(at: kind) }
        let isPartial = answer.organizations.contains { organization in
            WebhookSource.refused(organization).isEmpty
                || organization["webhooks"]?.array?.isEmpty == false
        }
        if isPartial {
            failure.status = .partial
            failure.what = "\(what): some were refused"
        }
        return failure
    }

    /// What registering takes: services hide webhooks from a token that may not see them, as if
    /// there were no such project.
    private static func rights(at kind: TrackerKind) -> String {
        let need =
            switch kind {
            case .github:
                "`admin:repo_hook` (for an organisation's `admin:org_hook`; fine-grained: "
                    + "Webhooks, read and write), of a user who administers the place"
            case .gitlab: "the scope `api`, of a user with the role of a maintainer"
            case .jira: "a user who administers Jira"
            }
        return "a token without the right to webhooks is answered so, too; it takes \(need)"
    }

    private func show(_ organizations: [JSONValue]) throws {
        guard !output.isJSON else {
            try Output.result([
                "name": .string(name), "organizations": .array(organizations),
            ])
            return
        }
        var table = TextTable(["ORGANIZATION", "WEBHOOK", "STATE", "LAST DELIVERY"])
        for organization in organizations {
            let path = organization["organization"]?.string ?? ""
            let delivery = organization["last_delivery"]
            let last = [delivery?["received_at"]?.string, delivery?["action"]?.string]
                .compactMap { $0 }.joined(separator: " ")
            for (place, state) in Self.states(of: organization) {
                table.append([path, place, state, last.isEmpty ? "-" : last])
            }
        }
        try Output.text(table.lines)
    }

    /// The webhooks of an organisation and those that were refused; where there are none, one line
    /// that says so.
    private static func states(of organization: JSONValue) -> [(place: String, state: String)] {
        let registered = (organization["webhooks"]?.array ?? []).map { webhook in
            let state = webhook["active"] == true ? "active" : "switched off"
            return (
                place: webhook["place"]?.string ?? "",
                state: webhook["problem"]?.string ?? state
            )
        }
        let refused = WebhookSource.refused(organization).map { refusal in
            (
                place: refusal["place"]?.string ?? "",
                state: "refused: \(refusal["reason"]?.string ?? "")"
            )
        }
        let states = registered + refused
        guard organization["webhooks"] != .null else {
            let isKept = organization["has_secret"] == true
            let state = isKept ? "a secret is stored" : "no secret is stored"
            return states + [(place: "-", state: state)]
        }
        return states.isEmpty ? [(place: "-", state: "none")] : states
    }
}

/// `preloop trackers webhooks install`.
struct TrackersWebhooksInstallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "install",
        abstract: "Register the webhooks, or bring them up to date."
    )

    @Flag(
        help: """
            Make new secrets; an old one counts until the tracker has the new one everywhere, and \
            an hour longer.
            """
    )
    var newSecrets = false

    @OptionGroup var options: WebhookOptions

    func run() async throws {
        try await options.run(
            .install(renewsSecrets: newSecrets),
            "cannot register the webhooks of `\(options.name)`"
        )
    }
}

/// `preloop trackers webhooks remove`.
struct TrackersWebhooksRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Take the webhooks away; deliveries are refused from then on.",
        discussion: """
            Where the tracker refuses, the webhook and the secret stay: try again when it lets \
            you. Without PRELOOP_URL, by which the tracker's webhooks are told apart, only the \
            secrets stored here are removed.
            """
    )

    @OptionGroup var options: WebhookOptions

    func run() async throws {
        try await options.run(.remove, "cannot remove the webhooks of `\(options.name)`")
    }
}

/// `preloop trackers webhooks status`.
struct TrackersWebhooksStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what is registered, and when something last came.",
        discussion: "Without PRELOOP_URL it shows what is stored here, and asks no tracker."
    )

    @OptionGroup var options: WebhookOptions

    func run() async throws {
        try await options.run(.look, "cannot ask for the webhooks of `\(options.name)`")
    }
}
