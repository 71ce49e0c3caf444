import API
import ArgumentParser
import Bootstrap
import Domain
import Store
import Sync
import Trackers

/// `preloop trackers webhooks …`: trackers tell of changes by themselves.
struct TrackersWebhooksCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "webhooks",
        abstract: "Have a tracker tell of changes at once.",
        discussion: """
            The tracker delivers to PRELOOP_URL, where `preloop serve` takes the deliveries in. \
            Each organisation has a secret of its own; deliveries that are not signed with it are \
            refused. Scans go on and find what no delivery told.
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

    @OptionGroup var output: OutputOptions

    /// Does something at the tracker and shows what is there then; or, with `otherwise`, in the
    /// store alone where nobody knows which of the tracker's webhooks are ours.
    ///
    /// - Throws: ``CommandFailure`` with every refusal, where something was to be changed.
    func run(
        _ what: String,
        changes: Bool = true,
        _ body: (WebhookInstaller) async throws -> [WebhookInstaller.Outcome],
        otherwise: ((StoredWebhooks) async throws -> [WebhookInstaller.Outcome])? = nil
    ) async throws {
        let installation = try await Installation.open()
        let tracker = try await installation.tracker(named: name)
        guard tracker.isRemote else {
            throw CommandFailure(
                .usage,
                "`\(name)` holds imported issues; no service tells of them"
            )
        }
        let outcomes = try await attempt(what) {
            if let otherwise, let stored = installation.storedWebhooks(of: tracker) {
                let outcomes = try await otherwise(stored)
                try await installation.close()
                standardError(
                    "note: PRELOOP_URL is not set, so what `\(name)` itself has registered is "
                        + "neither shown nor changed\n"
                )
                return outcomes
            }
            let installer = try await installation.webhookInstaller(
                of: tracker,
                transport: try installation.transport()
            )
            let outcomes = try await body(installer)
            try await installation.close()
            return outcomes
        }
        guard !outcomes.isEmpty else {
            throw CommandFailure(
                .failure,
                "no project of `\(name)` is followed",
                hint: "scan it first: `preloop-sync scan tracker \(name)`"
            )
        }
        try show(outcomes)
        if changes, let failure = failure(of: outcomes, at: tracker.kind, what) { throw failure }
    }

    /// What the tracker refused, place by place; nil when it refused nothing.
    private func failure(
        of outcomes: [WebhookInstaller.Outcome],
        at kind: TrackerKind,
        _ what: String
    ) -> CommandFailure? {
        let refused = outcomes.flatMap(\.refused)
        guard let first = refused.first else { return nil }
        var failure = CommandFailure(what, cause: first.error)
        failure.reason = refused.prefix(10).map { "\($0.place): \($0.error)" }
            .joined(separator: "\n       ")
        let isHidden = refused.contains { refusal in
            if case .notFound = refusal.error { true } else { false }
        }
        if isHidden { failure.hint = Self.rights(at: kind) }
        if outcomes.contains(where: { $0.refused.isEmpty || !$0.webhooks.isEmpty }) {
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

    private func show(_ outcomes: [WebhookInstaller.Outcome]) throws {
        guard !output.isJSON else {
            try Output.result([
                "name": .string(name), "organizations": .array(outcomes.map(\.json)),
            ])
            return
        }
        var table = TextTable(["ORGANIZATION", "WEBHOOK", "STATE", "LAST DELIVERY"])
        for outcome in outcomes {
            let last = outcome.lastDelivery.map { "\($0.receivedAt.iso8601) \($0.action)" } ?? "-"
            for webhook in outcome.webhooks {
                let state = webhook.problem ?? (webhook.isActive ? "active" : "switched off")
                table.append([outcome.organization, webhook.place.path, state, last])
            }
            for refusal in outcome.refused {
                table.append([
                    outcome.organization, refusal.place, "refused: \(refusal.error)", last,
                ])
            }
            if !outcome.isAsked {
                let state = outcome.hasSecret ? "a secret is stored" : "no secret is stored"
                table.append([outcome.organization, "-", state, last])
            } else if outcome.webhooks.isEmpty, outcome.refused.isEmpty {
                table.append([outcome.organization, "-", "none", last])
            }
        }
        try Output.text(table.lines)
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
        try await options.run("cannot register the webhooks of `\(options.name)`") { installer in
            try await installer.install(renewsSecrets: newSecrets)
        }
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
        try await options.run("cannot remove the webhooks of `\(options.name)`") { installer in
            try await installer.remove()
        } otherwise: { stored in
            try await stored.remove()
        }
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
        let what = "cannot ask for the webhooks of `\(options.name)`"
        try await options.run(what, changes: false) { installer in
            try await installer.status()
        } otherwise: { stored in
            try await stored.status()
        }
    }
}
