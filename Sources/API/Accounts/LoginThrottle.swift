import Domain

/// Counts failed sign-ins and says who has to wait; a value, time comes in.
///
/// Who guesses at one name from one address is stopped early; from many addresses, or at many
/// names, later. Nobody is locked out for longer than the window.
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
        /// Counters kept; those with the fewest failures make room.
        var entries = 20_000

        init() {}
    }

    private struct Counter {
        var failures: Int
        var began: Timestamp
    }

    private let limits: Limits
    private var counters: [String: Counter] = [:]

    init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// How long this one has to wait; nil for not at all.
    func delay(name: String, address: String, now: Timestamp) -> Duration? {
        keys(name, address).compactMap { key, limit -> Duration? in
            guard let counter = counters[key], counter.failures >= limit else { return nil }
            let end = counter.began.advanced(by: limits.window)
            return end > now ? .milliseconds(end.milliseconds - now.milliseconds) : nil
        }.max()
    }

    /// Notes a failure.
    mutating func fail(name: String, address: String, now: Timestamp) {
        for (key, _) in keys(name, address) {
            var counter = counters[key] ?? Counter(failures: 0, began: now)
            if counter.began.advanced(by: limits.window) <= now {
                counter = Counter(failures: 0, began: now)
            }
            counter.failures += 1
            counters[key] = counter
        }
        guard counters.count > limits.entries else { return }
        // Those that failed least go first: names made up in thousands must not free the one that
        // is guessed at.
        let least = counters.sorted {
            ($0.value.failures, $0.value.began) < ($1.value.failures, $1.value.began)
        }
        for (key, _) in least.prefix(counters.count - limits.entries / 2) { counters[key] = nil }
    }

    /// Forgets the failures of somebody who knew the password after all.
    mutating func succeed(name: String, address: String) {
        counters["p \(name) \(address)"] = nil
    }

    private func keys(_ name: String, _ address: String) -> [(String, Int)] {
        [
            ("p \(name) \(address)", limits.pair), ("n \(name)", limits.name),
            ("a \(address)", limits.address),
        ]
    }
}
