extension Graph {
    /// Nodes expanded in search of a detour before a link counts as indispensable.
    ///
    /// Detours of two or three steps are the rule; a longer search costs more than trying another
    /// link.
    static let detourLimit = 64

    /// Whether two linked nodes would still be joined without their link: by a node that both are
    /// linked to, or by `newcomer`, which is about to be linked to `second`.
    func haveCommonNeighbour(
        _ first: UInt32,
        _ second: UInt32,
        or newcomer: UInt32,
        layer: Int
    ) -> Bool {
        drafted(first, layer: layer)
            .hasCommon(drafted(second, layer: layer), or: newcomer, level: level)
    }

    /// Breadth-first search along a layer: whether one of `goals` is reached from `start` (or is
    /// it).
    ///
    /// For the writer only: it uses the graph's one set of marks.
    func reaches(
        _ goals: [UInt32],
        from start: UInt32,
        layer: Int,
        expansionLimit: Int
    ) -> Bool {
        writerWalk.begin(slotCount: shape.slotCount)
        for goal in goals { writerWalk.setGoal(goal) }
        return writerWalk.run(from: start, expansionLimit: expansionLimit) {
            drafted($0, layer: layer)
        }
    }

    /// The nodes of a layer that can be reached from `start` by the links that readers see, itself
    /// included, nearest steps first.
    func component(of start: UInt32, layer: Int) -> [UInt32] {
        var walk = LayerWalk()
        walk.begin(slotCount: slotCount)
        _ = walk.run(from: start, expansionLimit: .max) { links($0, layer: layer) }
        return walk.reached
    }

    /// Makes sure that nodes which were joined through a removed node are still in one component.
    func join(_ nodes: [UInt32], layer: Int) {
        guard let first = nodes.first else { return }
        var joined = [first]
        for node in nodes.dropFirst() {
            let isJoined =
                reaches(joined, from: node, layer: layer, expansionLimit: Self.detourLimit)
                || reaches(joined, from: node, layer: layer, expansionLimit: .max)
            if !isJoined { bridge(node, first, layer: layer) }
            joined.append(node)
        }
    }

    /// Links two components at the nodes nearest to `first` and `second` that have room.
    private func bridge(_ first: UInt32, _ second: UInt32, layer: Int) {
        guard let near = nodeWithRoom(around: first, layer: layer),
            let far = nodeWithRoom(around: second, layer: layer)
        else { return }
        link(near, far, layer: layer)
    }

    /// The nearest node, in steps, that has a free place; if the whole component is full, the
    /// first that has a link on a cycle, which is removed.
    ///
    /// One of the two exists in every finite component: if every link were a bridge, the component
    /// would be a tree, and the leaves of a tree have room.
    private func nodeWithRoom(around start: UInt32, layer: Int) -> UInt32? {
        _ = reaches([], from: start, layer: layer, expansionLimit: .max)
        let component = writerWalk.reached
        if let node = component.first(where: { !drafted($0, layer: layer).isFull }) { return node }
        for node in component {
            for other in drafted(node, layer: layer).links {
                unlink(node, other, layer: layer)
                if reaches([node], from: other, layer: layer, expansionLimit: .max) { return node }
                link(node, other, layer: layer)
            }
        }
        return nil
    }
}

/// A breadth-first walk along one layer.
///
/// Marks are stamped with the number of the walk, so that beginning the next one costs nothing.
struct LayerWalk {
    private var stamps: [UInt32] = []
    private var seenStamp: UInt32 = 0
    /// Nodes reached by the last run, in the order they were reached.
    private(set) var reached: [UInt32] = []

    private var goalStamp: UInt32 { seenStamp + 1 }

    /// Forgets the last walk.
    mutating func begin(slotCount: Int) {
        if stamps.count < slotCount || seenStamp > .max - 4 {
            // Grown by half, so that a growing graph does not do this at each insertion.
            stamps = [UInt32](repeating: 0, count: slotCount + slotCount / 2)
            seenStamp = 0
        }
        seenStamp += 2
        reached.removeAll(keepingCapacity: true)
    }

    /// Marks a node at which the run shall stop.
    mutating func setGoal(_ slot: UInt32) {
        stamps[Int(slot)] = goalStamp
    }

    /// Walks along `links` until a goal is met (true) or `expansionLimit` nodes have been
    /// expanded.
    @inline(__always)
    mutating func run(
        from start: UInt32,
        expansionLimit: Int,
        along links: (UInt32) -> LinkList
    ) -> Bool {
        if stamps[Int(start)] == goalStamp { return true }
        stamps[Int(start)] = seenStamp
        reached.append(start)
        var next = 0
        while next < reached.count, next < expansionLimit {
            let list = links(reached[next])
            next += 1
            for index in 0..<list.capacity {
                let link = list[index]
                if link == Graph.noSlot { break }
                let stamp = stamps[Int(link)]
                if stamp == goalStamp { return true }
                guard stamp != seenStamp else { continue }
                stamps[Int(link)] = seenStamp
                reached.append(link)
            }
        }
        return false
    }
}
