import Bootstrap
import Foundation
import Synchronization
import Testing

struct BackgroundExecutorTests {
    private final class Threads: Sendable {
        let seen = Mutex<Set<UInt>>([])
        func note() { seen.withLock { _ = $0.insert(pthread_self()) } }
    }

    @Test func `tasks and their children run on one thread that others outrank`() async {
        let executor = BackgroundExecutor()
        let threads = Threads()
        let task = Task(executorPreference: executor) { () -> Int32 in
            threads.note()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<200 {
                    group.addTask {
                        threads.note()
                        await Task.yield()
                        threads.note()
                    }
                }
            }
            return getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
        }
        #expect(await task.value >= 10)
        #expect(threads.seen.withLock { $0.count } == 1)
    }
}
