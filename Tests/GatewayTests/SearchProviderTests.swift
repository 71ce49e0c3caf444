import Search
import Synchronization
import Testing

@testable import Gateway

@Suite struct SearchProviderTests {
    /// Counts attempts to open, each of which takes 80 ms and fails.
    private final class Opening: Sendable {
        private let state = Mutex((now: ContinuousClock.now, attempts: 0))

        var now: ContinuousClock.Instant { state.withLock { $0.now } }
        var attempts: Int { state.withLock { $0.attempts } }

        func pass(_ time: Duration) { state.withLock { $0.now += time } }

        func fail() throws -> Never {
            pass(.milliseconds(80))
            state.withLock { $0.attempts += 1 }
            throw SearchError.emptyQuery
        }
    }

    @Test func `an attempt that failed is repeated after ten times as long`() async throws {
        let opening = Opening()
        let provider = SearchProvider(now: { opening.now }, open: { _ in try opening.fail() })
        func search(_ mode: SearchRequest.Mode) async {
            await #expect(throws: SearchError.emptyQuery) { try await provider.search(mode) }
        }
        await search(.hybrid)
        opening.pass(.milliseconds(799))
        await search(.hybrid)
        await search(.vector)
        #expect(opening.attempts == 1)
        // What needs no model is another matter.
        await search(.text)
        #expect(opening.attempts == 2)
        opening.pass(.milliseconds(1))
        await search(.hybrid)
        #expect(opening.attempts == 3)
    }
}
