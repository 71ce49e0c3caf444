import Domain
import Testing
import Trackers

@testable import Sync

/// How many issues a walk is said to have left.
@Suite struct WalkEstimateTests {
    private func page(
        _ numbers: ClosedRange<Int>,
        isLast: Bool = false,
        remaining: Int? = nil
    ) -> IssuePage {
        let items = numbers.map { number in
            PageItem.issue(
                Domain.Issue(
                    externalID: "\(number)",
                    kind: .issue,
                    number: number,
                    key: "o/p#\(number)",
                    title: "t",
                    body: "",
                    state: .open,
                    createdAt: Timestamp(milliseconds: 0),
                    updatedAt: Timestamp(milliseconds: 0),
                    url: ""
                ),
                comments: .notIncluded
            )
        }
        var page = IssuePage(items: items, next: isLast ? nil : PageToken("next"))
        page.remainingCount = remaining
        return page
    }

    @Test func `nothing is said while nothing is known`() {
        var estimate = WalkEstimate()
        #expect(estimate.progress == nil)
        estimate.didRead(page(1...10), isByCreation: false)
        #expect(estimate.progress == nil)
    }

    @Test func `what the service counts goes before everything else`() {
        var estimate = WalkEstimate()
        estimate.didProbe(page(500...500, remaining: 300))
        #expect(estimate.progress == .init(read: 0, remaining: 300))
        estimate.didRead(page(1...100, remaining: 250), isByCreation: true)
        #expect(estimate.progress == .init(read: 100, remaining: 250))
    }

    @Test func `estimates of many projects have a sum, whatever the numbers of their issues`() {
        var estimate = WalkEstimate()
        estimate.didProbe(page(Int.max...Int.max))
        estimate.didRead(page(1...1), isByCreation: true)
        #expect(estimate.progress == .init(read: 1, remaining: 1_000_000_000))
    }

    @Test func `a total counts down where pages do not tell, and never to nothing early`() {
        var estimate = WalkEstimate()
        estimate.begin(expecting: 150)
        estimate.didRead(page(1...100), isByCreation: true)
        #expect(estimate.progress == .init(read: 100, remaining: 50))
        estimate.didRead(page(101...200), isByCreation: true)
        #expect(estimate.progress == .init(read: 200, remaining: 1))
        estimate.didRead(page(201...210, isLast: true), isByCreation: true)
        #expect(estimate.progress == .init(read: 210, remaining: 0))
    }

    @Test func `numbers tell where the service does not count`() {
        var estimate = WalkEstimate()
        estimate.didProbe(page(500...500))
        #expect(estimate.progress == nil)
        estimate.didRead(page(1...100), isByCreation: true)
        #expect(estimate.progress == .init(read: 100, remaining: 400))
    }
}
