import Domain
import HTTPClient
import Testing

@testable import Trackers

struct RetryPlanTests {
    private let configuration = TrackerSession.Configuration(
        baseURL: "http://x",
        authorization: .bearer
    )

    private func plan(_ query: QueryString) -> RetryPlan {
        let paging = PageParameters(size: "per_page", page: "page")
        return RetryPlan(
            TrackerRequest(path: "/", query: query, paging: paging),
            configuration: configuration
        )
    }

    @Test func `a list that breaks the service twice is asked for in half pages at its place`() {
        var plan = plan(["per_page": "100", "page": "3"])
        _ = plan.next(after: .status(reason: "502"), jitter: 0)
        #expect(plan.query["per_page"] == "100")
        _ = plan.next(after: .status(reason: "502"), jitter: 0)
        #expect(plan.query["per_page"] == "50")
        // Rows 201 and on begin page 5 of fifty.
        #expect(plan.query["page"] == "5")
    }

    @Test func `a page beyond all numbers is asked for again as it is`() {
        var plan = plan(["per_page": "100", "page": "\(Int.max)"])
        _ = plan.next(after: .status(reason: "502"), jitter: 0)
        _ = plan.next(after: .status(reason: "502"), jitter: 0)
        #expect(plan.query["per_page"] == "100")
        #expect(plan.query["page"] == "\(Int.max)")
    }

    @Test func `tries are bounded and the last failure is told`() {
        var plan = plan([:])
        var last: RetryPlan.Action?
        for _ in 0..<configuration.retry.maximumAttempts {
            last = plan.next(after: .body(.truncated(offset: 3), isMarkup: true), jitter: 1)
        }
        #expect(
            last
                == .giveUp(
                    .invalidResponse(detail: "HTML instead of JSON, 5 times in a row")
                )
        )
    }

    @Test func `a wait beyond our patience is thrown with its end`() {
        var plan = plan([:])
        let now = Timestamp(milliseconds: 0)
        #expect(
            plan.next(afterLimit: .seconds(3600), now: now, jitter: 0)
                == .giveUp(.rateLimited(until: Timestamp(milliseconds: 3_600_000)))
        )
    }

    @Test func `a service that always says zero seconds is not asked for ever`() {
        var plan = plan([:])
        var count = 0
        while case .pause = plan.next(
            afterLimit: .zero,
            now: Timestamp(milliseconds: 0),
            jitter: 0
        ), count < 1000 {
            count += 1
        }
        #expect(count < 100)
    }

    @Test func `queries survive encoding`() {
        let query = QueryString(["q": "a b&c=d+é/%", "cursor": "Y3Vyc29y=="])
        #expect(QueryString(parsing: query.encoded) == query)
        #expect(QueryString(parsing: "a=%zz&b=1+2&c")["a"] == "%zz")
        #expect(QueryString(parsing: "a=%zz&b=1+2&c")["b"] == "1 2")
    }

    @Test(arguments: [
        ("", "x"), ("issues", "page=1"), ("other?page=1", "list"), ("issues?evil=1", "parameter"),
    ])
    func `a page token of another kind means a new start`(token: String, why: String) {
        #expect(throws: TrackerError.pageTokenExpired) {
            try PageToken(token).decoded(streams: ["issues"], parameters: ["page"])
        }
    }

    @Test func `basic authorization is Base64 with padding`() {
        let vectors = ["": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foobar": "Zm9vYmFy"]
        for (text, expected) in vectors { #expect(base64(Array(text.utf8)) == expected) }
    }
}
