import HTTPTypes
import Store
import Synchronization
import TestSupport
import Testing

@testable import API

/// Few hashes at once, for each costs a core and 32 MiB; a crowd is turned away.
@Suite struct PasswordHasherTests {
    /// Counts those who are inside, and how many were at the same time.
    private final class Crowd: Sendable {
        private let counts = Mutex((now: 0, most: 0))

        var most: Int { counts.withLock { $0.most } }

        func enter() {
            counts.withLock { counts in
                counts.now += 1
                counts.most = max(counts.most, counts.now)
            }
        }

        func leave() { counts.withLock { $0.now -= 1 } }
    }

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

    /// Those who had gone kept their places in the queue, and others were turned away for them.
    @Test func `whoever gives up waiting leaves, and the next one gets the place`() async throws {
        let gate = WorkGate(running: 1, waiting: 2)
        let (isIn, mayEnd) = (Gate(), Gate())
        let first = Task {
            try await gate.run {
                isIn.open()
                try await mayEnd.pass()
            }
        }
        try await isIn.pass()
        let second = Task { try await gate.run { 2 } }
        while gate.waitingCount < 1 { await Task.yield() }
        let third = Task { try await gate.run { 3 } }
        while gate.waitingCount < 2 { await Task.yield() }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        #expect(gate.waitingCount == 1)
        // There is room for another one.
        let fourth = Task { try await gate.run { 4 } }
        while gate.waitingCount < 2 { await Task.yield() }
        mayEnd.open()
        try await first.value
        #expect(try await third.value == 3)
        #expect(try await fourth.value == 4)
        #expect(gate.freeCount == 1 && gate.waitingCount == 0)
    }

    @Test func `nothing is begun for a task that was cancelled before`() async throws {
        let (gate, begun, mayBegin) = (WorkGate(running: 1, waiting: 1), Counter(), Gate())
        let task = Task {
            // Ended by the cancellation.
            try? await mayBegin.pass()
            return try await gate.run { begun.add() }
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(begun.value == 0 && gate.freeCount == 1 && gate.waitingCount == 0)
    }

    /// A place may be handed over at the very moment in which its taker is cancelled.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `no place is lost or given twice, whoever is cancelled and when`(
        _ seed: UInt64
    ) async throws {
        let running = 3
        let gate = WorkGate(running: running, waiting: 1_000)
        let crowd = Crowd()
        var random = SeededGenerator(seed: seed)
        for _ in 0..<25 {
            let tasks = (0..<100).map { number in
                Task {
                    try await gate.run {
                        crowd.enter()
                        for _ in 0..<number % 4 { await Task.yield() }
                        crowd.leave()
                    }
                }
            }
            for task in tasks where Bool.random(using: &random) {
                if Bool.random(using: &random) { await Task.yield() }
                task.cancel()
            }
            for task in tasks { _ = await task.result }
            #expect(gate.freeCount == running && gate.waitingCount == 0, "seed \(seed)")
        }
        #expect((1...running).contains(crowd.most), "seed \(seed)")
    }

    /// Wherever strangers can have something hashed.
    @Test(.timeLimit(.minutes(5)))
    func `a client that goes away leaves the queue of those who sign in`() async throws {
        var setup = RunningServer.Setup()
        setup.allowsRegistration = true
        let server = try await RunningServer(setup)
        let desk = server.application.desk
        let token = try await desk.setupToken(of: AccountTable.defaultID)
        let link = try #require(token)
        let gate = desk.hasher.gate
        let taken = try await TakenPlaces(of: gate)
        let object = #"{"username": "ann", "password": "a good password"}"#
        let form = "username=ann&password=a+good+password"
        for (path, type, body) in [
            ("/api/v1/auth/token", "application/json", object),
            ("/api/v1/auth/token", FormFields.mediaType, form),
            ("/api/v1/auth/token/json", "application/json", object),
            ("/api/v1/auth/register", "application/json", object),
            ("/setup", FormFields.mediaType, "token=\(link)&\(form)"),
            ("/approval/1", FormFields.mediaType, form),
        ] {
            let client = try RawClient(port: server.port)
            let head =
                "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Type: \(type)\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n"
            #expect(client.send(head + body))
            while gate.waitingCount < 1 { await Task.yield() }
            client.close()
            while gate.waitingCount > 0 { await Task.yield() }
        }
        try await taken.giveBack()
        // Nothing has come of any of them.
        #expect(try await desk.isSetupToken(link))
        try await server.stop()
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
