import Domain
import HTTPClient
import Testing

@testable import Trackers

struct VerdictTests {
    private let now = Timestamp(milliseconds: 1_700_000_000_000)

    private func verdict(
        _ status: Int,
        _ headers: [HTTPField] = [],
        body: String = "",
        accepting: Set<Int> = []
    ) -> Verdict {
        let response = HTTPResponse(
            status: status,
            headers: HTTPHeaders(headers),
            body: Array(body.utf8),
            effectiveURL: ""
        )
        return Verdict(response, accepting: accepting, now: now)
    }

    @Test func `a 403 is a pause, an exhausted window, or a missing permission`() {
        #expect(verdict(403, [HTTPField("Retry-After", "7")]) == .wait(.seconds(7)))
        #expect(
            verdict(
                403,
                [
                    HTTPField("X-RateLimit-Remaining", "0"),
                    HTTPField("X-RateLimit-Reset", "1700000030"),
                ]
            ) == .wait(.seconds(30))
        )
        #expect(
            verdict(403, body: #"{"message":"You have exceeded a secondary rate limit."}"#)
                == .wait(nil)
        )
        #expect(
            verdict(403, body: #"{"message":"Resource not accessible"}"#)
                == .fail(
                    .forbidden(
                        detail: "status 403: Resource not accessible",
                        missingScope: nil
                    )
                )
        )
    }

    @Test func `who accepts a refusal still waits for a rate limit`() {
        #expect(verdict(403, accepting: [403]) == .deliver)
        #expect(
            verdict(403, [HTTPField("Retry-After", "7")], accepting: [403]) == .wait(.seconds(7))
        )
    }

    @Test func `the missing scope is named`() {
        #expect(
            verdict(403, body: #"{"error":"insufficient_scope","scope":"api"}"#)
                == .fail(
                    .forbidden(detail: "status 403: insufficient_scope", missingScope: "api")
                )
        )
        let headers = [
            HTTPField("X-OAuth-Scopes", "read:org"), HTTPField("X-Accepted-OAuth-Scopes", "repo"),
        ]
        #expect(
            verdict(403, headers)
                == .fail(.forbidden(detail: "status 403", missingScope: "repo"))
        )
    }

    @Test func `a 429 in plain text is a pause`() {
        #expect(verdict(429, body: "Retry later\n") == .wait(nil))
    }

    @Test func `an anonymous answer is a refused token`() {
        let verdict = verdict(200, [HTTPField("X-AUSERNAME", "anonymous")], body: "[]")
        guard case .renewCredential = verdict else {
            Testing.Issue.record("\(verdict)")
            return
        }
    }

    @Test(arguments: [
        (#"{"message":{"title":["can't be blank"]}}"#, "status 400: title can't be blank"),
        (#"{"errorMessages":["no such field"],"errors":{}}"#, "status 400: no such field"),
        ("<html>secret</html>", "status 400: an HTML page"),
        ("plain\u{1B}[31m", "status 400: plain [31m"),
        ("", "status 400"),
    ])
    func `error bodies become one short line`(body: String, expected: String) {
        #expect(verdict(400, body: body) == .fail(.invalidResponse(detail: expected)))
    }

    @Test func `a redirect names the other origin and nothing more`() {
        let location = HTTPField("Location", "https://login.example/sso?token=abc")
        #expect(
            verdict(302, [location])
                == .fail(
                    .invalidResponse(detail: "status 302 redirects to `https://login.example`")
                )
        )
    }
}
