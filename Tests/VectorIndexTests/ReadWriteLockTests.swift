import Dispatch
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

/// Nobody is inside beside a writer, and nobody sleeps for good.
@Suite struct ReadWriteLockTests {
    private final class Shared: Sendable {
        let lock = ReadWriteLock()
        let readers = Atomic(0)
        let writers = Atomic(0)
        let together = Atomic(0)
        let most = Atomic(0)
        let done = Atomic(0)
    }

    /// Work that the compiler keeps, of up to so many rounds.
    private static func work(_ rounds: Int) -> UInt64 {
        (0..<rounds).reduce(UInt64(rounds)) { ($0 ^ UInt64($1)) &* 0x9E37_79B9_7F4A_7C15 }
    }

    /// With more threads than processors some sleep, and with waits of both lengths.
    @Test(arguments: [1, 3, 12])
    func `readers are inside together and a writer alone`(readers: Int) {
        let shared = Shared()
        DispatchQueue.concurrentPerform(iterations: readers + 1) { thread in
            var generator = SeededGenerator(seed: UInt64(thread))
            for round in 0..<4_000 {
                let most = round % 500 == 0 ? 100_000 : 300
                let rounds = Int.random(in: 0..<most, using: &generator)
                if thread == 0 {
                    shared.lock.write {
                        shared.writers.add(1, ordering: .relaxed)
                        let inside = shared.readers.load(ordering: .relaxed)
                        shared.together.add(inside, ordering: .relaxed)
                        shared.done.add(Self.work(rounds) == 1 ? 0 : 1, ordering: .relaxed)
                        shared.writers.subtract(1, ordering: .relaxed)
                    }
                } else {
                    shared.lock.read {
                        let inside = shared.readers.add(1, ordering: .relaxed).newValue
                        _ = shared.most.max(inside, ordering: .relaxed)
                        let writers = shared.writers.load(ordering: .relaxed)
                        shared.together.add(writers, ordering: .relaxed)
                        shared.done.add(Self.work(rounds) == 1 ? 0 : 1, ordering: .relaxed)
                        shared.readers.subtract(1, ordering: .relaxed)
                    }
                }
            }
        }
        #expect(shared.together.load(ordering: .relaxed) == 0)
        #expect(shared.done.load(ordering: .relaxed) == (readers + 1) * 4_000)
        #expect(shared.most.load(ordering: .relaxed) <= readers)
    }

    @Test func `two readers are inside at the same time`() {
        let isInside = DispatchSemaphore(value: 0)
        let isOver = DispatchSemaphore(value: 0)
        let shared = Shared()
        DispatchQueue.global().async {
            shared.lock.read {
                isInside.signal()
                isOver.wait()
            }
        }
        isInside.wait()
        _ = shared.lock.read { isOver.signal() }
        shared.lock.write {}
    }

    /// A stream of readers of whom there is always one inside would keep it out for ever.
    @Test func `a writer that waits goes before readers that come later`() {
        let shared = Shared()
        let (isInside, isWaiting) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let (mayLeave, isOver) = (DispatchSemaphore(value: 0), DispatchGroup())
        let order = Mutex<[String]>([])
        DispatchQueue.global().async(group: isOver) {
            shared.lock.read {
                isInside.signal()
                mayLeave.wait()
                order.withLock { $0.append("reader") }
            }
        }
        isInside.wait()
        DispatchQueue.global().async(group: isOver) {
            isWaiting.signal()
            shared.lock.write { order.withLock { $0.append("writer") } }
        }
        isWaiting.wait()
        while !shared.lock.isAwaited { sched_yield() }
        DispatchQueue.global().async(group: isOver) {
            shared.lock.read { order.withLock { $0.append("later") } }
        }
        mayLeave.signal()
        isOver.wait()
        #expect(order.withLock { $0 } == ["reader", "writer", "later"])
    }
}
