/// Decides which waiting transfer starts next: at most so many per host and in all, first come
/// first served within a host, hosts in turn.
struct TransferQueue {
    private struct Lane {
        var active = 0
        var waiting: [UInt64] = []
        /// Where `waiting` begins; it is cut when half of it is gone, so taking stays O(1).
        var head = 0

        var isIdle: Bool { active == 0 && head == waiting.count }
    }

    private var lanes: [HTTPOrigin: Lane] = [:]
    /// Origins with a lane, in turn.
    private var order: [HTTPOrigin] = []
    private var turn = 0
    private(set) var activeCount = 0
    private let maximumPerHost: Int
    private let maximumTotal: Int

    init(maximumPerHost: Int, maximumTotal: Int) {
        precondition(maximumPerHost > 0 && maximumTotal > 0, "a queue must let something through")
        self.maximumPerHost = maximumPerHost
        self.maximumTotal = maximumTotal
    }

    /// Puts a transfer at the end of its host's line.
    mutating func append(_ id: UInt64, to origin: HTTPOrigin) {
        if lanes[origin] == nil {
            lanes[origin] = Lane()
            order.append(origin)
        }
        lanes[origin]?.waiting.append(id)
    }

    /// Takes the next transfer that may start; nil when none may.
    mutating func next() -> UInt64? {
        guard activeCount < maximumTotal else { return nil }
        for step in 0..<order.count {
            let place = (turn + step) % order.count
            guard var lane = lanes[order[place]], lane.active < maximumPerHost,
                lane.head < lane.waiting.count
            else { continue }
            let id = lane.waiting[lane.head]
            lane.head += 1
            lane.active += 1
            if lane.head * 2 > lane.waiting.count {
                lane.waiting.removeFirst(lane.head)
                lane.head = 0
            }
            lanes[order[place]] = lane
            activeCount += 1
            turn = (place + 1) % order.count
            return id
        }
        return nil
    }

    /// Gives the place of a started transfer back.
    mutating func finish(_ origin: HTTPOrigin) {
        guard let active = lanes[origin]?.active, active > 0 else { return }
        lanes[origin]?.active = active - 1
        activeCount -= 1
        forgetIfIdle(origin)
    }

    /// Takes a waiting transfer out of its line.
    mutating func remove(_ id: UInt64, from origin: HTTPOrigin) {
        guard var lane = lanes[origin] else { return }
        lane.waiting.removeFirst(lane.head)
        lane.head = 0
        lane.waiting.removeAll { $0 == id }
        lanes[origin] = lane
        forgetIfIdle(origin)
    }

    private mutating func forgetIfIdle(_ origin: HTTPOrigin) {
        guard let lane = lanes[origin], lane.isIdle else { return }
        lanes[origin] = nil
        guard let place = order.firstIndex(of: origin) else { return }
        order.remove(at: place)
        // Whose turn it is stays the same host.
        if place < turn { turn -= 1 }
        if turn >= order.count { turn = 0 }
    }
}
