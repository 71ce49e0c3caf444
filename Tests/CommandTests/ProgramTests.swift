import Foundation
import Testing

@testable import Bootstrap

/// How a program's process begins and ends.
struct ProgramTests {
    /// OpenSSL's clean-up took the locks from a thread that still spoke to a database: now and then
    /// a command ended by a signal.
    @Test func `a process ends without what libraries do at its end`() async {
        await #expect(processExitsWith: .exitCode(3)) {
            atexit {
                let status: Int32 = 99
                _exit(status)
            }
            Program.end(3)
        }
    }
}
