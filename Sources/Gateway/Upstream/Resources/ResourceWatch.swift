/// Which resources of one server somebody wants to hear of; a value.
///
/// However many sessions want the same one, the server is asked for it once.
struct ResourceWatch: Sendable {
    /// Whether the server tells of a resource.
    typealias Outcome = Result<Void, UpstreamError>

    private struct Interest: Sendable {
        var uri: String
        var subscribers: [ObjectIdentifier: ResourceSubscriber] = [:]
        /// Whether the present session of the server tells of it.
        var isActive = false
        /// Those who wait to hear whether it does.
        var waiting: [(subscriber: ObjectIdentifier, outcome: AsyncStream<Outcome>.Continuation)] =
            []
    }

    /// By the bytes of the URI, for texts may be equal that are not the same.
    private var interests: [[UInt8]: Interest] = [:]

    /// Whether nobody wants anything any more.
    var isEmpty: Bool { interests.isEmpty }
    /// How many resources are wanted.
    var count: Int { interests.count }
    /// What is wanted, by the bytes of the URIs.
    var uris: [[UInt8]: String] { interests.mapValues(\.uri) }

    /// How many resources a subscriber wants.
    func count(of subscriber: ResourceSubscriber) -> Int {
        interests.values.count { $0.subscribers[ObjectIdentifier(subscriber)] != nil }
    }

    /// Whether a subscriber wants a resource.
    func has(_ subscriber: ResourceSubscriber, _ uri: String) -> Bool {
        interests[Array(uri.utf8)]?.subscribers[ObjectIdentifier(subscriber)] != nil
    }

    /// Who is told of a change of a resource, or of one below it: the protocol lets servers name
    /// what is a part of what was subscribed to.
    func subscribers(of uri: String) -> [ResourceSubscriber] {
        var found: [ObjectIdentifier: ResourceSubscriber] = [:]
        for (wanted, interest) in interests where Self.covers(wanted, Array(uri.utf8)) {
            found.merge(interest.subscribers) { first, _ in first }
        }
        return Array(found.values)
    }

    private static func covers(_ wanted: [UInt8], _ changed: [UInt8]) -> Bool {
        guard changed.starts(with: wanted) else { return false }
        guard changed.count > wanted.count, let last = wanted.last else { return true }
        let ends = Array("/?#".utf8)
        return ends.contains(last) || ends.contains(changed[wanted.count])
    }

    // MARK: - Changes

    /// Adds somebody who wants to hear of a resource.
    ///
    /// - Returns: What will say whether the server tells of it; nil when it does already.
    mutating func add(_ subscriber: ResourceSubscriber, to uri: String) -> AsyncStream<Outcome>? {
        let key = Array(uri.utf8)
        let identity = ObjectIdentifier(subscriber)
        interests[key, default: Interest(uri: uri)].subscribers[identity] = subscriber
        guard interests[key]?.isActive != true else { return nil }
        let (outcomes, continuation) = AsyncStream.makeStream(of: Outcome.self)
        interests[key]?.waiting.append((identity, continuation))
        return outcomes
    }

    /// Takes somebody away from a resource, from all of them for nil.
    mutating func remove(_ subscriber: ResourceSubscriber, from uri: String?) {
        let keys = uri.map { [Array($0.utf8)] } ?? Array(interests.keys)
        for key in keys { remove(ObjectIdentifier(subscriber), key) }
    }

    private mutating func remove(_ subscriber: ObjectIdentifier, _ key: [UInt8]) {
        guard interests[key]?.subscribers.removeValue(forKey: subscriber) != nil else { return }
        for entry in interests[key]?.waiting ?? [] where entry.subscriber == subscriber {
            entry.outcome.finish()
        }
        interests[key]?.waiting.removeAll { $0.subscriber == subscriber }
        if interests[key]?.subscribers.isEmpty == true { interests[key] = nil }
    }

    /// What the server answers about a resource; who wanted one that it refuses wants it no more.
    mutating func settle(_ key: [UInt8], _ outcome: Outcome) {
        guard let interest = interests[key] else { return }
        for entry in interest.waiting {
            entry.outcome.yield(outcome)
            entry.outcome.finish()
        }
        switch outcome {
        case .success:
            interests[key]?.waiting = []
            interests[key]?.isActive = true
        case .failure: interests[key] = nil
        }
    }

    /// Nothing is told of at the moment: the server's session is gone, or was not to be had.
    ///
    /// Who waits hears why; what was told of before is to be asked for again.
    mutating func suspend(_ error: UpstreamError?) {
        for key in interests.keys {
            interests[key]?.isActive = false
            guard let error else { continue }
            for entry in interests[key]?.waiting ?? [] {
                entry.outcome.yield(.failure(error))
                remove(entry.subscriber, key)
            }
        }
    }

    /// Nobody is told of anything any more; who waits hears why.
    mutating func end(_ error: UpstreamError) {
        for key in interests.keys { settle(key, .failure(error)) }
    }
}
