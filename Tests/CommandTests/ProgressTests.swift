import Domain
import Foundation
import Glibc
import Search
import Sync
import Synchronization
import TestSupport
import Testing

@testable import preloop_sync

/// What a scan shows while it runs.
struct ProgressTests {
    private static func step(
        _ phase: ScanProgress.Phase,
        fetched: Int,
        walk: ScanProgress.WalkProgress? = nil
    ) -> ScanProgress {
        var step = ScanProgress(
            tracker: "gh",
            project: "acme/web",
            phase: phase,
            fetched: fetched,
            written: fetched
        )
        step.walk = walk
        return step
    }

    private static let noon = Timestamp(milliseconds: 1_700_000_000_000)

    @Test func `a bar fills as far as the walk is and says what remains`() {
        let board = ProgressBoard()
        let walk = ScanProgress.WalkProgress(read: 300, remaining: 900)
        #expect(board.note(Self.step(.issues, fetched: 300, walk: walk)))
        let bar = ProgressText(board: board, now: Self.noon).bars(tick: 0)[0]
        let told = "gh acme/web issues: 300 fetched, 0 embedded, 900 remaining ("
        #expect(bar.hasPrefix("[###---------] " + told))
    }

    @Test func `a bar without a known length shows no remaining`() {
        let board = ProgressBoard()
        _ = board.note(Self.step(.comments, fetched: 5))
        let bar = ProgressText(board: board, now: Self.noon).bars(tick: 2)[0]
        #expect(bar.hasPrefix("[--#---------] gh acme/web comments: 5 fetched, "))
        #expect(!bar.contains("remaining"))
    }

    @Test func `a tracker's own line goes when its projects are known`() {
        let board = ProgressBoard()
        var listing = Self.step(.listing, fetched: 0)
        listing.project = nil
        #expect(!board.note(listing))
        #expect(ProgressText(board: board, now: Self.noon).bars(tick: 0).count == 2)
        listing.phase = .ended
        #expect(!board.note(listing))
        #expect(ProgressText(board: board, now: Self.noon).bars(tick: 0).count == 1)
        #expect(board.snapshot.lines.isEmpty)
    }

    @Test func `a wait for the rate limit shows until it is over`() {
        let board = ProgressBoard()
        _ = board.note(Self.step(.issues, fetched: 5))
        board.noteWait(of: "gh", until: Self.noon)
        board.noteWait(of: "another", until: Self.noon.advanced(by: .seconds(3600)))
        let during = ProgressText(board: board, now: Self.noon.advanced(by: .seconds(-1)))
        #expect(during.bars(tick: 0)[0].contains(", rate limit until 2023-11-14T22:13:20Z"))
        #expect(during.summary.contains(", rate limit until 2023-11-14T22:13:20Z"))
        let after = ProgressText(board: board, now: Self.noon)
        #expect(!after.bars(tick: 0)[0].contains("rate limit"))
        #expect(!after.summary.contains("rate limit"))
    }

    @Test func `each bar tells what was embedded of its own project`() {
        let board = ProgressBoard()
        _ = board.note(Self.step(.issues, fetched: 5))
        var report = IndexReport()
        report.embeddedByProject = [
            .init(tracker: "gh", path: "acme/web"): 7, .init(tracker: "gh", path: "o/other"): 9,
        ]
        board.note(report)
        let text = ProgressText(board: board, now: Self.noon)
        #expect(text.bars(tick: 0)[0].contains("5 fetched, 7 embedded"))
    }

    @Test func `without a terminal there is a line every thirty seconds`() async throws {
        let board = ProgressBoard()
        let walk = ScanProgress.WalkProgress(read: 100, remaining: 50)
        _ = board.note(Self.step(.issues, fetched: 100, walk: walk))
        let clock = SteppingClock()
        let written = Mutex<[String]>([])
        let display = ProgressDisplay(
            board: board,
            style: .lines,
            clock: clock,
            write: { text in written.withLock { $0.append(text) } }
        )
        try await display.show {
            await clock.step(3)
        }
        #expect(clock.sleeps.prefix(3) == [.seconds(30), .seconds(30), .seconds(30)])
        let lines = written.withLock { $0 }
        #expect(lines.count == 3)
        #expect(
            lines.first
                == "1 project at work, 0 done; 100 rows written, 0 passages embedded, "
                + "about 50 issues remaining\n"
        )
    }

    @Test func `nothing is drawn when nothing is wanted`() async throws {
        let written = Mutex(0)
        let display = ProgressDisplay(
            board: ProgressBoard(),
            style: .none,
            clock: SteppingClock(),
            write: { _ in written.withLock { $0 += 1 } }
        )
        #expect(try await display.show { 7 } == 7)
        #expect(written.withLock { $0 } == 0)
    }

    @Test func `bars are cut to the terminal and redrawn over themselves`() async throws {
        let board = ProgressBoard()
        _ = board.note(Self.step(.issues, fetched: 100))
        let clock = SteppingClock()
        let written = Mutex<[String]>([])
        let display = ProgressDisplay(
            board: board,
            style: .bars,
            clock: clock,
            write: { text in written.withLock { $0.append(text) } },
            columns: { 30 }
        )
        try await display.show {
            await clock.step(2)
        }
        let frames = written.withLock { $0 }
        #expect(frames.count == 3)
        #expect(frames.first?.hasPrefix("\u{1B}[2K[-#") == true)
        #expect(frames.dropFirst().allSatisfy { $0.hasPrefix("\u{1B}[2A\u{1B}[2K") })
        for line in frames.joined().split(separator: "\n") {
            let text = line.replacing("\u{1B}[2A", with: "").replacing("\u{1B}[2K", with: "")
            #expect(text.count <= 29)
        }
    }

    @Test func `a scan on a terminal draws a bar with what remains`() throws {
        let sandbox = try Sandbox([
            "PRELOOP_EMBEDDING_PROVIDER": "openai", "PRELOOP_EMBEDDING_DIMENSION": "3",
            "PRELOOP_EMBEDDING_URL": "http://127.0.0.1:1/v1", "TOKEN": "t",
        ])
        let service = try ScriptedHTTPServer { [Self.github($0.target)] }
        let added = try sandbox.preloop(
            "trackers",
            "add",
            "github",
            "--name",
            "gh",
            "--url",
            service.origin + "/api",
            "--token-env",
            "TOKEN"
        )
        #expect(added.status == 0)
        let terminal = try sandbox.startOnTerminal("preloop-sync", "scan", "all")
        // One issue of the probe's eleven pages is read; the second page never comes.
        #expect(terminal.wait(for: "gh acme/web issues: 2 fetched, 0 embedded, 1000 remaining"))
        terminal.signal(SIGINT)
        #expect(terminal.exitStatus() == 130)
        #expect(terminal.screen.contains("the scan was stopped"))
    }

    /// A GitHub with one repository, whose second page of issues never comes.
    private static func github(_ target: String) -> ScriptedHTTPServer.Step {
        if target.hasPrefix("/api/user/repos") {
            return .answer(
                text: """
                    [{"id":1,"name":"web","full_name":"acme/web","has_issues":true,
                    "html_url":"http://127.0.0.1/acme/web","owner":{"login":"acme","id":2}}]
                    """
            )
        }
        if target.hasPrefix("/api/user") { return .answer(text: #"{"login":"ann"}"#) }
        guard target.hasPrefix("/api/repositories/1/issues") else {
            return .answer(404, text: #"{"message":"Not Found"}"#)
        }
        if target.contains("page=2") { return .stall }
        let isProbe = target.contains("direction=desc")
        let links = isProbe ? "" : ", </x?page=11&per_page=100>; rel=\"last\""
        return .answer(
            headers: [("Link", "</x?page=2&per_page=100>; rel=\"next\"\(links)")],
            text: """
                [{"id":11,"number":1,"title":"t","body":"b","state":"open","comments":0,
                "created_at":"2024-01-01T00:00:00Z","updated_at":"2024-01-01T00:00:00Z",
                "html_url":"http://127.0.0.1/acme/web/issues/1","user":{"login":"ann"}}]
                """
        )
    }
}

/// A clock whose sleeps end when the test says so.
final class SteppingClock: Clock {
    struct Instant: InstantProtocol {
        var offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private let state = Mutex((now: Duration.zero, sleeps: [Duration]()))
    private let sleepers = AsyncStream.makeStream(of: Void.self)
    private let permits = AsyncStream.makeStream(of: Void.self)

    var now: Instant { Instant(offset: state.withLock { $0.now }) }
    var minimumResolution: Duration { .nanoseconds(1) }
    /// What was slept for, in order; the last may not have ended.
    var sleeps: [Duration] { state.withLock { $0.sleeps } }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        state.withLock { $0.sleeps.append(deadline.offset - $0.now) }
        sleepers.continuation.yield()
        for await _ in permits.stream {
            state.withLock { $0.now = max($0.now, deadline.offset) }
            return
        }
        throw CancellationError()
    }

    /// Ends `count` sleeps; returns when the sleep after the last of them has begun.
    func step(_ count: Int) async {
        var iterator = sleepers.stream.makeAsyncIterator()
        await iterator.next()
        for _ in 0..<count {
            permits.continuation.yield()
            await iterator.next()
        }
    }
}
