import Domain
import MCP
import Synchronization
import Testing

@testable import Gateway

/// When a server that fails is left alone, and when it is tried again: each transition.
@Suite struct CircuitBreakerTests {
    /// A breaker at seconds since one instant.
    private final class Timed {
        let start = ContinuousClock.now
        private var breaker = CircuitBreaker()

        func admit(at seconds: Int) -> CircuitBreaker.Admission {
            breaker.admit(at: start.advanced(by: .seconds(seconds)))
        }

        /// An attempt that must be let through.
        func attempt(at seconds: Int) throws -> CircuitBreaker.Attempt {
            guard case .attempt(let attempt) = admit(at: seconds) else {
                throw ToolFailure("it was not let through")
            }
            return attempt
        }

        func isOpen(at seconds: Int) -> Bool {
            guard case .wait = admit(at: seconds) else { return false }
            return true
        }

        func succeeded(_ attempt: CircuitBreaker.Attempt) { breaker.succeeded(attempt) }

        func failed(_ attempt: CircuitBreaker.Attempt, at seconds: Int) {
            breaker.failed(attempt, at: start.advanced(by: .seconds(seconds)))
        }

        func abandoned(_ attempt: CircuitBreaker.Attempt) { breaker.abandoned(attempt) }

        /// Fails so often in a row.
        func fail(_ count: Int, at seconds: Int = 0) throws {
            for _ in 0..<count { failed(try attempt(at: seconds), at: seconds) }
        }
    }

    private static let threshold = CircuitBreaker.threshold
    private let breaker = Timed()

    @Test func `failures in a row open it, and nothing passes`() throws {
        try breaker.fail(Self.threshold - 1)
        let last = try breaker.attempt(at: 0)
        breaker.failed(last, at: 0)
        #expect(breaker.admit(at: 0) == .wait(CircuitBreaker.shortest))
    }

    @Test func `a success in between begins the count anew`() throws {
        try breaker.fail(Self.threshold - 1)
        breaker.succeeded(try breaker.attempt(at: 0))
        try breaker.fail(Self.threshold - 1)
        #expect(!breaker.isOpen(at: 0))
    }

    @Test func `what was given up counts neither way`() throws {
        try breaker.fail(Self.threshold - 1)
        for _ in 0..<10 { breaker.abandoned(try breaker.attempt(at: 0)) }
        #expect(!breaker.isOpen(at: 0))
        breaker.failed(try breaker.attempt(at: 0), at: 0)
        #expect(breaker.isOpen(at: 0))
    }

    @Test func `when the time is up one tries it, and the others wait`() throws {
        try breaker.fail(Self.threshold)
        _ = try breaker.attempt(at: 1)
        #expect(breaker.isOpen(at: 1) && breaker.isOpen(at: 100))
    }

    @Test func `a trial that succeeds closes it`() throws {
        try breaker.fail(Self.threshold)
        breaker.succeeded(try breaker.attempt(at: 1))
        try breaker.fail(Self.threshold - 1, at: 1)
        #expect(!breaker.isOpen(at: 1))
        breaker.failed(try breaker.attempt(at: 1), at: 1)
        // The pause is the shortest one again.
        #expect(breaker.admit(at: 1) == .wait(CircuitBreaker.shortest))
    }

    @Test func `a trial that fails opens it for twice as long, up to a minute`() throws {
        try breaker.fail(Self.threshold)
        var now = 1
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            breaker.failed(try breaker.attempt(at: now), at: now)
            #expect(breaker.admit(at: now) == .wait(.seconds(pause)))
            now += pause
        }
    }

    /// It had been stuck, or closed, by what said nothing about the server.
    @Test func `a trial that says nothing leaves its place to the next`() throws {
        try breaker.fail(Self.threshold)
        for _ in 0..<3 {
            breaker.abandoned(try breaker.attempt(at: 1))
            // Not closed: one passes at a time.
            let next = try breaker.attempt(at: 1)
            #expect(breaker.isOpen(at: 1))
            breaker.abandoned(next)
        }
        breaker.failed(try breaker.attempt(at: 1), at: 1)
        #expect(breaker.admit(at: 1) == .wait(.seconds(2)))
    }

    /// Its end freed the place of the trial, so that two tried at a time.
    @Test func `an attempt from before frees no place, and opens nothing anew`() throws {
        let (given, failing) = (try breaker.attempt(at: 0), try breaker.attempt(at: 0))
        try breaker.fail(Self.threshold)
        breaker.failed(failing, at: 0)
        let trial = try breaker.attempt(at: 1)
        breaker.abandoned(given)
        #expect(breaker.isOpen(at: 1))
        breaker.failed(given, at: 1)
        #expect(breaker.isOpen(at: 1))
        breaker.abandoned(trial)
        #expect(!breaker.isOpen(at: 1))
    }

    @Test func `an attempt from before that succeeds closes it`() throws {
        let early = try breaker.attempt(at: 0)
        try breaker.fail(Self.threshold)
        let trial = try breaker.attempt(at: 1)
        breaker.succeeded(early)
        // What the trial comes to is one failure among others now.
        breaker.failed(trial, at: 1)
        #expect(!breaker.isOpen(at: 1) && !breaker.isOpen(at: 1))
    }

    // MARK: - What is decided here

    /// Fails so often that the server is left alone, and waits until it may be tried again.
    private static func fail(_ pool: UpstreamPool) async throws {
        for _ in 0..<threshold {
            await #expect(throws: UpstreamError.timedOut(seconds: 1)) {
                try await pool.perform(
                    for: "",
                    capabilities: JSONObject(),
                    isRepeatable: false
                ) { _ -> Bool in throw UpstreamError.timedOut(seconds: 1) }
            }
        }
        try await Task.sleep(for: CircuitBreaker.shortest + .milliseconds(100))
    }

    /// Whether two are let through at a time.
    private static func isClosed(_ pool: UpstreamPool) async throws -> Bool {
        try await pool.perform(
            for: "",
            capabilities: JSONObject(),
            isRepeatable: false
        ) { _ -> Bool in
            do {
                return try await pool.perform(
                    for: "",
                    capabilities: JSONObject(),
                    isRepeatable: false
                ) { _ -> Bool in true }
            } catch let error as UpstreamError {
                guard case .suspended = error else { throw error }
                return false
            }
        }
    }

    /// The server had answered, and the other callers went on waiting.
    @Test func `a trial that finds its tool changed when it asks for it closes it`() async throws {
        let world = try await ProxiedWorld()
        let pool = try await world.desk.pool(of: world.server.id)
        try await Self.fail(pool)
        world.upstream.state.withLock { $0.summary = "Sends a text to us" }
        let trial = try await world.call()
        #expect(trial.text.contains("has changed since it was accepted"), "\(trial.text)")
        let isClosed = try await Self.isClosed(pool)
        #expect(isClosed)
        await world.desk.close()
    }

    @Test func `a trial that is decided by a list from before leaves its place to the next`()
        async throws
    {
        let world = try await ProxiedWorld()
        let (desk, id) = (world.desk, world.server.id)
        #expect(try await !world.call().isError)
        // What the caller's session has listed is not what is accepted by now.
        world.upstream.state.withLock { $0.summary = "Sends a text to us" }
        _ = try await desk.scan(id, by: "user:ann")
        #expect(try await desk.accept(["write"], of: id, by: "user:ann") == ["write"])
        let pool = try await desk.pool(of: id)
        try await Self.fail(pool)
        let lists = world.upstream.state.withLock { $0.lists }
        let trial = try await world.call()
        #expect(trial.text.contains("has changed since it was accepted"), "\(trial.text)")
        #expect(world.upstream.state.withLock { $0.lists } == lists)
        let isClosed = try await Self.isClosed(pool)
        #expect(!isClosed)
        await desk.close()
    }
}
