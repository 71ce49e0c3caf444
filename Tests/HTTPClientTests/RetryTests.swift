import Synchronization
import Testing

@testable import HTTPClient

@Suite struct RetryStateTests {
    @Test func `pauses double up to the longest and are drawn from zero`() {
        var policy = RetryPolicy()
        policy.firstPause = .seconds(1)
        policy.longestPause = .seconds(5)
        #expect(
            (1...5).map { policy.pause(afterFailures: $0, draw: 1) }
                == [.seconds(1), .seconds(2), .seconds(4), .seconds(5), .seconds(5)]
        )
        #expect(policy.pause(afterFailures: 3, draw: 0.25) == .seconds(1))
        #expect(policy.pause(afterFailures: 1000, draw: 0) == .zero)
    }

    @Test func `tries are counted`() {
        var policy = RetryPolicy()
        policy.maximumAttempts = 3
        var state = RetryState(policy: policy)
        #expect(state.next(after: nil, draw: 0) == .pause(.zero))
        #expect(state.next(after: .seconds(2), draw: 0) == .pause(.seconds(2)))
        #expect(state.next(after: nil, draw: 0) == .deliver)
    }

    @Test func `a pause beyond patience is reported, not waited`() {
        var policy = RetryPolicy()
        policy.patience = .seconds(100)
        var state = RetryState(policy: policy)
        #expect(state.next(after: .seconds(60), draw: 0) == .pause(.seconds(60)))
        #expect(state.next(after: .seconds(60), draw: 0) == .rateLimited(wait: .seconds(60)))
    }
}

@Suite struct RateBudgetStateTests {
    @Test func `what is not known does not hold anyone up`() {
        var state = RateBudgetState(reservedFraction: 0.05)
        for second in 0..<10_000 { #expect(state.take(.background, now: .seconds(second)) == nil) }
    }

    @Test func `the last part is kept for people`() {
        var state = RateBudgetState(reservedFraction: 0.1)
        state.update(limit: 100, remaining: 12, reset: .seconds(60), now: .zero)
        #expect(state.take(.background, now: .zero) == nil)
        #expect(state.take(.background, now: .zero) == nil)
        #expect(state.take(.background, now: .seconds(10)) == .seconds(50))
        for _ in 0..<10 { #expect(state.take(.interactive, now: .seconds(10)) == nil) }
        #expect(state.take(.interactive, now: .seconds(20)) == .seconds(40))
    }

    @Test func `a new window starts full`() {
        var state = RateBudgetState(reservedFraction: 0)
        state.update(limit: 2, remaining: 0, reset: .seconds(60), now: .zero)
        #expect(state.take(.background, now: .seconds(59)) == .seconds(1))
        #expect(state.take(.background, now: .seconds(60)) == nil)
        #expect(state.remaining == 1)
    }

    @Test func `answers that overtake each other do not raise what is left`() {
        var state = RateBudgetState(reservedFraction: 0)
        state.update(limit: 100, remaining: 50, reset: .seconds(60), now: .zero)
        state.update(limit: 100, remaining: 52, reset: .seconds(60), now: .seconds(1))
        #expect(state.remaining == 50)
        // The next window's answer does, and a straggler of the old window changes nothing.
        state.update(limit: 100, remaining: 99, reset: .seconds(3600), now: .seconds(61))
        state.update(limit: 100, remaining: 0, reset: .zero, now: .seconds(61))
        #expect(state.remaining == 99)
    }

    @Test func `a pause holds for everybody and never gets shorter`() {
        var state = RateBudgetState(reservedFraction: 0)
        state.pause(until: .seconds(30))
        state.pause(until: .seconds(10))
        #expect(state.take(.interactive, now: .seconds(20)) == .seconds(10))
        #expect(state.take(.background, now: .seconds(30)) == nil)
    }

    @Test func `many workers never overdraw together`() {
        var random = SystemRandomNumberGenerator()
        var state = RateBudgetState(reservedFraction: 0)
        var left = 500
        state.update(limit: 500, remaining: left, reset: .seconds(60), now: .zero)
        var started = 0
        for _ in 0..<2000 where state.take(.background, now: .seconds(1)) == nil {
            started += 1
            left -= 1
            // Answers come late, and some never say anything.
            if Bool.random(using: &random) {
                state.update(limit: 500, remaining: left, reset: .seconds(59), now: .seconds(1))
            }
        }
        #expect(started == 500)
    }
}

@Suite struct RateBudgetTests {
    @Test func `a long wait is thrown so that a scan can park`() async throws {
        let clock = ManualClock()
        let budget = RateBudget(clock: clock)
        await budget.update(limit: 5000, remaining: 0, reset: .seconds(3000))
        await #expect(throws: RetryError.rateLimited(wait: .seconds(3000))) {
            try await budget.acquire()
        }
        #expect(clock.slept.isEmpty)
    }

    @Test func `a short wait is waited`() async throws {
        let clock = ManualClock()
        let budget = RateBudget(clock: clock)
        await budget.update(limit: 5000, remaining: 0, reset: .seconds(30))
        try await budget.acquire(.interactive)
        #expect(clock.slept == [.seconds(30)])
    }
}

@Suite struct RetryingClientTests {
    /// Answers from a list.
    private final class Scripted: HTTPTransport {
        let outcomes: Mutex<[Result<Int, HTTPError>]>
        let headers: [HTTPField]

        init(_ outcomes: [Result<Int, HTTPError>], headers: [HTTPField] = []) {
            self.outcomes = Mutex(outcomes)
            self.headers = headers
        }

        func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
            let status = try outcomes.withLock { $0.removeFirst() }.get()
            let headers = HTTPHeaders(headers)
            return HTTPResponse(
                status: status,
                headers: headers,
                body: [],
                effectiveURL: request.url
            )
        }
    }

    private let lost = HTTPError.connectionLost(host: "h", reason: "reset")

    private func send(_ transport: Scripted, _ clock: ManualClock) async throws -> Int {
        let budget = RateBudget(clock: clock)
        let client = RetryingClient(
            transport: transport,
            budget: budget,
            clock: clock,
            draw: { 1 }
        )
        return try await client.send(HTTPRequest(url: "http://h/")) { outcome in
            RetryDecision(transient: outcome, now: 0)
        }.status
    }

    @Test func `what passes is tried again`() async throws {
        let clock = ManualClock()
        let transport = Scripted([.failure(lost), .success(503), .success(200)])
        #expect(try await send(transport, clock) == 200)
        #expect(clock.slept == [.milliseconds(500), .seconds(1)])
    }

    @Test func `what does not pass is not`() async throws {
        for error in [
            HTTPError.cancelled, .tlsFailed(host: "h", reason: ""), .invalidURL(url: ""),
            .responseTooLarge(host: "h", limit: 1),
        ] {
            let transport = Scripted([.failure(error), .success(200)])
            await #expect(throws: RetryError.exchange(error)) {
                try await send(transport, ManualClock())
            }
        }
        #expect(try await send(Scripted([.success(404), .success(200)]), ManualClock()) == 404)
    }

    @Test func `the last outcome is delivered when no try is left`() async throws {
        let statuses = Array(repeating: Result<Int, HTTPError>.success(500), count: 5)
        #expect(try await send(Scripted(statuses + [.success(200)]), ManualClock()) == 500)
    }

    @Test func `a named pause is obeyed`() async throws {
        let clock = ManualClock()
        let transport = Scripted(
            [.success(429), .success(200)],
            headers: [.init("Retry-After", "7")]
        )
        #expect(try await send(transport, clock) == 200)
        #expect(clock.slept == [.milliseconds(7500)])
    }

    @Test func `a named pause of an hour ends the call`() async throws {
        let transport = Scripted([.success(429)], headers: [.init("Retry-After", "3600")])
        await #expect(throws: RetryError.rateLimited(wait: .milliseconds(3_600_500))) {
            try await send(transport, ManualClock())
        }
    }
}

/// A clock whose sleeps end at once and move its time.
final class ManualClock: Clock {
    struct Instant: InstantProtocol {
        var offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private let state = Mutex((now: Duration.zero, slept: [Duration]()))

    var now: Instant { Instant(offset: state.withLock { $0.now }) }
    var minimumResolution: Duration { .nanoseconds(1) }
    var slept: [Duration] { state.withLock { $0.slept } }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
        state.withLock { state in
            state.slept.append(deadline.offset - state.now)
            state.now = max(state.now, deadline.offset)
        }
    }
}
