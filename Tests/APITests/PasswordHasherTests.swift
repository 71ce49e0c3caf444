import HTTPTypes
import Testing

@testable import API

/// Few hashes at once, for each costs a core and 32 MiB; a crowd is turned away.
@Suite struct PasswordHasherTests {
    private func isRefusal(_ error: any Error) -> Bool {
        guard let problem = error as? Problem else { return false }
        return problem.status == .serviceUnavailable && problem.headers[.retryAfter] == "2"
    }

    /// What became of each: true when it was done, false when it was refused as it is documented.
    private func outcomes(
        _ count: Int,
        _ body: @escaping @Sendable () async throws -> Bool
    ) async -> [Bool?] {
        await withTaskGroup(of: Bool?.self) { group in
            for _ in 0..<count {
                group.addTask {
                    do { return try await body() } catch { return isRefusal(error) ? false : nil }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Several, lest a busy machine lets the first one end before the second is begun.
    @Test func `hashes at once beyond the limit are refused`() async throws {
        let hasher = PasswordHasher(running: 1, waiting: 0)
        let hashed = await outcomes(8) { try await hasher.hash("a good password") != "" }
        #expect(hashed.contains(true) && hashed.contains(false), "\(hashed)")
        #expect(!hashed.contains(nil))
        let verified = await outcomes(8) {
            try await !hasher.verify("a good password", against: nil)
        }
        #expect(verified.contains(true) && verified.contains(false), "\(verified)")
        #expect(!verified.contains(nil))
        // The place is free again.
        let hash = try await hasher.hash("a good password")
        #expect(try await hasher.verify("a good password", against: hash))
    }

    @Test func `as many as may wait are done in the end`() async {
        let hasher = PasswordHasher(running: 1, waiting: 2)
        let hashed = await outcomes(3) { try await hasher.hash("a good password") != "" }
        #expect(hashed == [true, true, true])
    }

    @Test func `while one runs, one waits and the next is turned away`() async throws {
        let gate = WorkGate(running: 1, waiting: 1)
        let (isIn, mayEnd) = (Gate(), Gate())
        await withTaskGroup(of: Bool?.self) { group in
            group.addTask {
                try? await gate.run {
                    isIn.open()
                    try await mayEnd.pass()
                    return true
                }
            }
            try? await isIn.pass()
            for _ in 0..<2 {
                group.addTask {
                    do {
                        return try await gate.run { true }
                    } catch {
                        return isRefusal(error) ? false : nil
                    }
                }
            }
            // Whichever of the two came first waits for the place, which is not free yet.
            #expect(await group.next() == false)
            mayEnd.open()
            #expect(await group.next() == true)
            #expect(await group.next() == true)
        }
    }

    @Test func `what fails gives its place back`() async throws {
        struct Failure: Error {}
        let gate = WorkGate(running: 1, waiting: 0)
        for _ in 0..<3 {
            await #expect(throws: Failure.self) { try await gate.run { throw Failure() } }
        }
        #expect(try await gate.run { 1 } == 1)
    }
}
