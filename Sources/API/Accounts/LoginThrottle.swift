import Domain

/// Counts failed sign-ins, and accounts that strangers ask for, and says who has to wait; a value,
/// time comes in.
///
/// Who guesses at one name from one address is stopped early; from many addresses, or at many
/// names, later. Nobody is locked out for longer than the window. Addresses are counted as
/// ``NetworkAddress/origin(of:)`` has them.
struct LoginThrottle: Sendable {
    /// Failures within the window that are allowed.
    struct Limits: Sendable, Equatable {
        /// For one name from one address: a person who tries old passwords.
        var pair = 10
        /// For one name, from anywhere.
        var name = 100
        /// From one address, for any name: an office behind one address, or a proxy.
        var address = 300
        var window: Duration = .seconds(900)
        /// Accounts asked for from one address within ``registrationWindow``: a class that signs up
        /// comes to it, and each costs a hash, as a sign-in does, and rows that stay.
        var registrations = 10
        var registrationWindow: Duration = .seconds(3_600)
        /// Counters kept; those with the fewest failures make room.
        var entries = 20_000

        init() {}
    }

    private struct Counter {
        var count: Int
        var began: Timestamp
    }

    /// What is counted under a name.
    private struct Rule {
        var key: String
        var limit: Int
        var window: Duration
    }

    private let limits: Limits
    private var counters: [String: Counter] = [:]

    init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// How long this one has to wait; nil for not at all.
    func delay(name: String, address: String, now: Timestamp) -> Duration? {
        delay(by: rules(name, address), now)
    }

    /// Notes a failure.
    mutating func fail(name: String, address: String, now: Timestamp) {
        count(by: rules(name, address), now)
    }

    /// Forgets the failures of somebody who knew the password after all.
    mutating func succeed(name: String, address: String) {
        if let pair = rules(name, address).first { counters[pair.key] = nil }
    }

    /// Notes how a sign-in ended that was let through before.
    ///
    /// Looking at a password takes a while, and others may have failed meanwhile: of many guesses
    /// at the same time no more are answered than of as many one after another.
    ///
    /// - Parameters:
    ///   - isRight: Whether the name and the password were right.
    ///   - name: Whose.
    ///   - address: From where.
    ///   - now: When it began.
    /// - Returns: How long this one has to wait, who then must not hear whether it was right; nil
    ///   when it may be told.
    mutating func end(
        isRight: Bool,
        name: String,
        address: String,
        now: Timestamp
    ) -> Duration? {
        if let delay = delay(name: name, address: address, now: now) { return delay }
        if isRight {
            succeed(name: name, address: address)
        } else {
            fail(name: name, address: address, now: now)
        }
        return nil
    }

    /// Notes that an account is asked for.
    ///
    /// - Parameters:
    ///   - address: From where.
    ///   - now: When.
    /// - Returns: How long the address has to wait, when it has asked for too many; nil when this
    ///   one may be made.
    mutating func register(address: String, now: Timestamp) -> Duration? {
        let rule = Rule(
            key: "r \(NetworkAddress.origin(of: address))",
            limit: limits.registrations,
            window: limits.registrationWindow
        )
        if let delay = delay(by: [rule], now) { return delay }
        count(by: [rule], now)
        return nil
    }

    private func delay(by rules: [Rule], _ now: Timestamp) -> Duration? {
        rules.compactMap { rule -> Duration? in
            guard let counter = counters[rule.key], counter.count >= rule.limit else { return nil }
            let end = counter.began.advanced(by: rule.window)
            return end > now ? .milliseconds(end.milliseconds - now.milliseconds) : nil
        }.max()
    }

    private mutating func count(by rules: [Rule], _ now: Timestamp) {
        for rule in rules {
            var counter = counters[rule.key] ?? Counter(count: 0, began: now)
            if counter.began.advanced(by: rule.window) <= now {
                counter = Counter(count: 0, began: now)
            }
            counter.count += 1
            counters[rule.key] = counter
        }
        guard counters.count > limits.entries else { return }
        // Those that failed least go first: names made up in thousands must not free the one that
        // is guessed at.
        let least = counters.sorted {
            ($0.value.count, $0.value.began) < ($1.value.count, $1.value.began)
        }
        for (key, _) in least.prefix(counters.count - limits.entries / 2) { counters[key] = nil }
    }

    /// The pair of name and address first.
    private func rules(_ name: String, _ address: String) -> [Rule] {
        let origin = NetworkAddress.origin(of: address)
        return [
            Rule(key: "p \(name) \(origin)", limit: limits.pair, window: limits.window),
            Rule(key: "n \(name)", limit: limits.name, window: limits.window),
            Rule(key: "a \(origin)", limit: limits.address, window: limits.window),
        ]
    }
}
