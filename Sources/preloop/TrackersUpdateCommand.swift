import ArgumentParser
import Bootstrap
import Domain
import Store
import Trackers

/// `preloop trackers update`: a new token, address or scope for a tracker; what was read stays.
struct TrackersUpdateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Give a tracker a new token, address or scope.",
        discussion: """
            What was read from the tracker stays. A new token, and the stored one at a new \
            address, is tried out first; when the service refuses it nothing is changed. Without \
            any option the new token is asked for on the terminal.

            Patterns are added to the tracker's scope; with --clear-scope they replace it.
            """
    )

    @Argument(help: "The tracker's name.")
    var name: String

    @OptionGroup var token: TokenSource

    @Option(help: "The same service's new base URL.")
    var url: String?

    @Option(help: "The user name or e-mail address the token belongs to.")
    var user: String?

    @Option(
        help: "How often `preloop-sync scheduler` has it scanned: 15m, 6h, never or default."
    )
    var interval: String?

    @OptionGroup var scope: ScopeOptions

    @Flag(help: "Forget the patterns given before.")
    var clearScope = false

    @Flag(help: "Store the token without trying it out.")
    var noTest = false

    @OptionGroup var output: OutputOptions

    /// What is to be written.
    private struct Change: Sendable {
        /// With the new address.
        var tracker: Tracker
        /// Nil for the stored one.
        var secret: Secret?
        /// Nil when the token was not tried out.
        var identity: TrackerIdentity?
    }

    func validate() throws {
        _ = try TrackerAddress(url: url)
        guard interval.map({ ScanInterval($0) != nil }) ?? true else {
            throw ValidationError("--interval is a time from 10s to 366d, `never` or `default`")
        }
    }

    private var changesScope: Bool { clearScope || !scope.rules.isEmpty }
    private var changesAddress: Bool { url != nil || user != nil }
    private var changesToken: Bool {
        token.isGiven || !(changesScope || changesAddress || interval != nil)
    }

    func run() async throws {
        let settings = try Settings.read()
        let installation = try await Installation.open(settings)
        var change = Change(tracker: try await installation.tracker(named: name))
        guard change.tracker.isRemote else {
            throw CommandFailure(
                .usage,
                "`\(name)` holds imported issues; it has neither token nor scope"
            )
        }
        try token.validate(for: change.tracker.kind)
        if url != nil {
            change.tracker.url = try TrackerAddress(url: url).url
            change.tracker.isVetted = false
        }
        if let user { change.tracker.userName = user }
        if changesAddress {
            let tracker = change.tracker
            try TrackerAddress(url: tracker.url.isEmpty ? nil : tracker.url).validate(
                for: tracker.kind,
                deployment: tracker.kind == .jira ? tracker.deployment : nil,
                user: tracker.userName
            )
        }
        if changesToken {
            change.secret = try token.read(environment: settings.environment, for: name)
        }
        if !noTest, changesToken || changesAddress {
            change.identity = try await tryOut(change, in: installation)
        }
        let isNewKey = try await sealingKey(for: change, in: installation)
        let rules = try await store(change, in: installation)
        try await installation.close()
        try report(change, rules: rules, isNewKey: isNewKey)
    }

    /// Makes sure that a new token can be sealed, and says whether that took a new key.
    private func sealingKey(
        for change: Change,
        in installation: Installation
    ) async throws(CommandFailure) -> Bool {
        guard change.secret != nil else { return false }
        return try await attempt(failure) { try installation.replaceLostKey() }
    }

    private var failure: String { "the tracker `\(name)` was not changed" }

    private func tryOut(
        _ change: Change,
        in installation: Installation
    ) async throws(CommandFailure) -> TrackerIdentity {
        let secret: Secret
        if let new = change.secret {
            secret = new
        } else {
            secret = try await attempt(failure) {
                try await installation.storedCredential(of: change.tracker)
            }
        }
        return try await installation.tryOut(
            change.tracker,
            secret: secret,
            advice: "run `preloop trackers update \(name)` with another token",
            orElse: failure
        )
    }

    /// Writes all of it, or nothing; returns the scope as it is then.
    private func store(
        _ change: Change,
        in installation: Installation
    ) async throws(CommandFailure) -> [ScopeRule] {
        let (added, isCleared, isAddress) = (scope.rules, clearScope, changesAddress)
        let interval = interval.flatMap(ScanInterval.init)
        let (name, now) = (name, installation.store.clock.now())
        return try await attempt(failure) {
            let sealed = try change.secret.map { secret in
                try installation.secretBox().seal(
                    secret,
                    for: .tracker(change.tracker.id, account: installation.store.account)
                )
            }
            return try await installation.change(
                change.tracker.id,
                secret: change.secret,
                by: Installation.localAuthor
            ) { connection, account in
                let (id, tracker) = (change.tracker.id, change.tracker)
                let current = try TrackerTable.find(name: name, account: account, on: connection)
                guard current?.id == id else {
                    throw CommandFailure(.notFound, "the tracker `\(name)` was removed meanwhile")
                }
                if let sealed {
                    try TrackerTable.setCredential(
                        sealed,
                        of: id,
                        account: account,
                        on: connection
                    )
                }
                if isAddress {
                    try TrackerTable.setAddress(
                        url: tracker.url,
                        userName: tracker.userName,
                        isVetted: tracker.isVetted,
                        of: id,
                        account: account,
                        on: connection
                    )
                }
                if let interval {
                    try ScanScheduleTable.setInterval(
                        interval.duration,
                        of: id,
                        account: account,
                        on: connection
                    )
                }
                if let identity = change.identity {
                    try TrackerTable.setStatus(
                        .valid,
                        detail: identity.statusDetail,
                        checkedAt: now,
                        of: id,
                        account: account,
                        on: connection
                    )
                }
                return try Self.extend(id, by: added, clearing: isCleared, account, connection)
            }
        }
    }

    /// Adds rules to the scope of a tracker, or has them replace it; returns it as it is then.
    private static func extend(
        _ id: TrackerID,
        by added: [ScopeRule],
        clearing isCleared: Bool,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws(StoreError) -> [ScopeRule] {
        var rules = try ScopeRuleTable.scope(of: id, account: account, on: connection).rules
        guard isCleared || !added.isEmpty else { return rules }
        if isCleared { rules = [] }
        for rule in added where !rules.contains(rule) { rules.append(rule) }
        try ScopeRuleTable.replace(
            with: Scope(rules),
            of: id,
            account: account,
            on: connection
        )
        return rules
    }

    private func report(_ change: Change, rules: [ScopeRule], isNewKey: Bool) throws {
        let identity = change.identity
        guard !output.isJSON else {
            func patterns(_ action: ScopeRule.Action) -> JSONValue {
                JSONValue(rules.filter { $0.action == action }.map(\.pattern))
            }
            try Output.result([
                "name": .string(name), "url": .string(change.tracker.url),
                "user": JSONValue(identity?.userName), "new_token": .bool(change.secret != nil),
                "new_key": .bool(isNewKey),
                "include": patterns(.include), "exclude": patterns(.exclude),
                "warnings": JSONValue(identity?.warnings ?? []),
            ])
            return
        }
        let who =
            identity.map { ": token of \(singleLine($0.userName))" }
            ?? (change.secret == nil ? "" : ": token not tried out")
        try Output.text(
            ["Updated \(name)\(who)."]
                + (identity?.warnings ?? []).map { "warning: \(singleLine($0))" }
                + (isNewKey
                    ? ["Made a new key: tokens that the lost one sealed must be entered again."]
                    : [])
                + (changesScope ? ["The next scan reads by the new scope."] : [])
        )
    }
}

/// `--interval`: how often a tracker is scanned.
struct ScanInterval {
    /// Nil for the scheduler's own interval, zero for never.
    let duration: Duration?

    /// Reads a time, `never` or `default`; nil for anything else.
    init?(_ text: String) {
        switch text {
        case "default": duration = nil
        case "never": duration = .zero
        default:
            let range = Duration.seconds(10)...Duration.seconds(366 * 86_400)
            guard let length = TimeLength.parse(text, in: range) else { return nil }
            duration = length
        }
    }
}
