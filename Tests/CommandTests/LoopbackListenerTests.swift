import Foundation
import Testing

@testable import preloop

/// Waiting for the browser that an authorization server sends back.
struct LoopbackListenerTests {
    /// Any page on this machine ended the login by the first request with a query.
    @Test func `a query that is no answer is refused, and the wait goes on`() async throws {
        let listener = try LoopbackListener()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        let curl = "curl -s -o /dev/null -w '%{http_code} '"
        process.arguments = [
            "-c", "\(curl) \"$0?state=guess\"; \(curl) \"$0?state=right&code=a%20b\"",
            listener.address,
        ]
        let running = try RunningProgram(process)
        let query = try await listener.query(within: 60) { parts in
            parts.contains { $0.name == "state" && $0.value == "right" }
        }
        #expect(query.map { $0.value } == ["right", "a b"])
        #expect(try running.waitForExit().output == "400 200 ")
    }
}
