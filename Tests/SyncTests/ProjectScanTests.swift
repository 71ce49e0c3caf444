import Domain
import Testing
import Trackers

@testable import Sync

/// The state machine alone, without a tracker or a store.
@Suite struct ProjectScanTests {
    private let time = Timestamp(milliseconds: 1_700_000_000_000)

    private func scan(_ cursor: ProjectCursor, full: Bool = false) -> ProjectScan {
        ProjectScan(
            cursor: cursor,
            parameters: .init(path: "o/p", listing: .perIssue, isFull: full)
        )
    }

    private func complete(_ watermark: Timestamp) -> ProjectCursor {
        var cursor = ProjectCursor()
        cursor.hasReadEverything = true
        cursor.path = "o/p"
        cursor.watermark = watermark
        return cursor
    }

    @Test func `the watermark of a first walk is taken before it`() {
        var scan = scan(ProjectCursor())
        #expect(scan.begin() == .readIssues(.init(walk: .newest)))
        #expect(
            scan.didRead(.init(count: 1, newest: time)) == .readIssues(.init(walk: .everything))
        )
        let later = time.advanced(by: .seconds(999))
        _ = scan.didRead(.init(count: 9, newest: later))
        #expect(scan.cursor.watermark == time)
        #expect(scan.didWrite(rows: 9) == .readDueComments)
        #expect(scan.didReadDueComments() == .end)
        #expect(scan.hasCompletedCensus)
    }

    @Test func `a killed walk goes on at its page`() {
        var scan = scan(ProjectCursor())
        _ = scan.begin()
        _ = scan.didRead(.init(count: 1, newest: time))
        _ = scan.didRead(.init(count: 9, next: PageToken("2")))
        let stored = ProjectCursor(scan.cursor.jsonValue)
        var again = self.scan(stored)
        #expect(again.begin() == .readIssues(.init(walk: .everything, page: PageToken("2"))))
    }

    @Test func `an empty answer moves nothing`() {
        var scan = scan(complete(time))
        let since = time.advanced(by: .seconds(-120))
        #expect(scan.begin() == .readIssues(.init(walk: .changed(since: since))))
        _ = scan.didRead(.init(count: 0))
        #expect(scan.cursor == complete(time))
    }

    @Test func `a tag is sent again only for the same short walk`() {
        var scan = scan(complete(time))
        _ = scan.begin()
        _ = scan.didRead(.init(count: 1, validator: "x", newest: time))
        let since = time.advanced(by: .seconds(-120))
        #expect(scan.cursor.validator == .init(since: since, tag: "x"))
        var again = self.scan(scan.cursor)
        #expect(
            again.begin() == .readIssues(.init(walk: .changed(since: since), validator: "x"))
        )
        #expect(again.didRead(.init(count: 0, isNotModified: true)) == .readDueComments)
        #expect(again.cursor == scan.cursor)
    }

    @Test(arguments: [(121, true), (120, false), (-5, false), (nil as Int?, false)])
    func `a walk drops the overlap when its watermark is older than that`(
        age: Int?,
        isSettled: Bool
    ) {
        var scan = scan(complete(time))
        _ = scan.begin()
        let served = age.map { time.advanced(by: .seconds($0)) }
        _ = scan.didRead(.init(count: 1, newest: time, servedAt: served))
        let shift = isSettled ? Duration.seconds(1) : .seconds(-120)
        let stored = ProjectCursor(scan.cursor.jsonValue)
        var again = self.scan(stored)
        #expect(
            again.begin() == .readIssues(.init(walk: .changed(since: time.advanced(by: shift))))
        )
    }

    @Test func `the age is taken at the first page, also of a walk that was killed`() {
        var scan = scan(complete(time))
        _ = scan.begin()
        let early = time.advanced(by: .seconds(60))
        _ = scan.didRead(.init(count: 1, next: PageToken("2"), newest: time, servedAt: early))
        var again = self.scan(ProjectCursor(scan.cursor.jsonValue))
        _ = again.begin()
        let late = time.advanced(by: .seconds(9999))
        _ = again.didRead(.init(count: 1, newest: time, servedAt: late))
        #expect(!again.cursor.isSettled)
    }

    @Test func `an answer that nothing changed settles the watermark too`() {
        var cursor = complete(time)
        cursor.validator = .init(since: time.advanced(by: .seconds(-120)), tag: "x")
        var scan = scan(cursor)
        _ = scan.begin()
        let late = time.advanced(by: .seconds(9999))
        _ = scan.didRead(.init(count: 0, isNotModified: true, servedAt: late))
        #expect(scan.cursor.isSettled)
    }

    @Test func `a list that goes round in a circle ends`() {
        var scan = scan(complete(time))
        _ = scan.begin()
        _ = scan.didRead(.init(count: 1, next: PageToken("2")))
        _ = scan.didWrite(rows: 0)
        #expect(
            scan.didRead(.init(count: 1, next: PageToken("2")))
                == .stop(.failed(reason: "the list goes round in a circle"))
        )
    }

    @Test func `a time near the epoch is never sent as since`() {
        var scan = scan(complete(Timestamp(milliseconds: 0)))
        #expect(scan.begin() == .readIssues(.init(walk: .everything)))
    }

    @Test func `a cursor of another version is read as none`() {
        #expect(ProjectCursor(["v": 2, "complete": true]) == ProjectCursor())
        #expect(ProjectCursor(.null) == ProjectCursor())
    }

    @Test func `a cursor survives its JSON form`() {
        var cursor = complete(time)
        cursor.issues = .init(since: time, next: PageToken("n"), highest: time)
        cursor.comments = .init(since: nil, next: PageToken("c"))
        cursor.hasReadComments = true
        cursor.commentWatermark = time
        cursor.validator = .init(since: time, tag: "t")
        cursor.census = .init(readsEverything: true, phase: .confirming, next: PageToken("z"))
        cursor.isAuditDue = true
        cursor.isSettled = true
        cursor.areCommentsSettled = true
        cursor.issues?.servedAt = time
        #expect(ProjectCursor(cursor.jsonValue) == cursor)
    }
}
