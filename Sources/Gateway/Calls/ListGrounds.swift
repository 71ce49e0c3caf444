/// Numbers of the latest changes of what comes and goes: each grows with its own.
struct ListNumbers: Sendable, Equatable {
    var tools = 0
    var prompts = 0
    /// Resources and their templates.
    var resources = 0
}

/// What the lists of an account depend on, for all who listen to changes of theirs.
///
/// A list is made for each of them only when one of these has moved: the store is asked as often
/// for a thousand sessions as for one.
actor ListGrounds {
    /// Numbers that move with what a list is made of.
    struct Value: Sendable, Equatable {
        /// Changes of what comes and goes.
        var source = ListNumbers()
        /// The version of the policy.
        var policy: Int64 = 0
        /// What the account has.
        var means: AccountMeans = []
    }

    /// How often somebody who listens should look.
    nonisolated let interval: Duration
    private let tools: ToolSet
    private let policy: any CallPolicy
    private var known: Value?
    private var lookedAt: ContinuousClock.Instant?

    init(_ tools: ToolSet, _ policy: any CallPolicy, interval: Duration) {
        self.tools = tools
        self.policy = policy
        self.interval = interval
    }

    /// How it is now, or was half an interval ago; what cannot be told now is as it was.
    func current() async -> Value {
        if let known, let lookedAt, lookedAt.duration(to: .now) < interval / 2 { return known }
        // Before anything is asked: whoever comes meanwhile takes what was known.
        lookedAt = .now
        var value = known ?? Value()
        if let source = tools.source { value.source = await source.latestChanges() }
        if let version = await policy.versionInForce() { value.policy = version }
        if let means = await tools.presentMeans() { value.means = means }
        known = value
        return value
    }
}
