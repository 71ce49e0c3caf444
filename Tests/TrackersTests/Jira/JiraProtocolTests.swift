import Domain
import HTTPClient
import Synchronization
import Testing

@testable import Trackers

/// Answers by a function of the decoded path and query; remembers what was asked.
final class ScriptedTransport: HTTPTransport {
    typealias Answer = (status: Int, body: String)
    private let answer: @Sendable (_ path: String, _ query: QueryString, _ turn: Int) -> Answer
    private let asked = Mutex<[(path: String, query: QueryString)]>([])

    init(_ answer: @escaping @Sendable (String, QueryString, Int) -> Answer) {
        self.answer = answer
    }

    var requests: [(path: String, query: QueryString)] { asked.withLock { $0 } }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let parts = request.url.split(separator: "?", maxSplits: 1).map(String.init)
        let path = parts[0].replacing("https://jira.example", with: "")
        let query = QueryString(parsing: parts.count > 1 ? parts[1] : "")
        let turn = asked.withLock { asked in
            asked.append((path, query))
            return asked.count
        }
        let (status, body) = answer(path, query, turn)
        return HTTPResponse(
            status: status,
            headers: HTTPHeaders(),
            body: Array(body.utf8),
            effectiveURL: request.url
        )
    }
}

private func client(
    _ deployment: TrackerDeployment,
    url: String? = "https://jira.example",
    _ transport: ScriptedTransport
) throws -> JiraClient {
    var parameters = TrackerClients.Parameters(
        kind: .jira,
        deployment: deployment,
        url: url,
        credential: { () throws(TrackerError) in Secret("t") },
        transport: transport
    )
    parameters.clock = SkippingClock()
    return try JiraClient(parameters)
}

private func row(_ id: Int, updated: String = "2024-01-01T00:00:00.000+0000") -> String {
    """
    {"id":"\(id)","key":"P-\(id)","fields":{"summary":"s\(id)","status":{"name":"Open",
    "statusCategory":{"key":"new"}},"created":"2024-01-01T00:00:00.000+0000",
    "updated":"\(updated)","project":{"id":"10"},"comment":{"comments":[],"total":0}}}
    """
}

private let project = RemoteProject(
    externalID: "10",
    path: "P",
    name: "P",
    url: "https://jira.example/browse/P"
)

struct JiraProtocolTests {
    @Test(arguments: [
        ("P", #""P""#), (#"a"b"#, #""a\"b""#), (#"a\"#, #""a\\""#), ("a\nb", #""a\nb""#),
        ("\u{1}", #""\u0001""#), (#"" OR project = "X"#, #""\" OR project = \"X""#),
        ("", #""""#), ("é😀", #""é😀""#),
    ])
    func `a value in JQL cannot leave its quotes`(_ pair: (text: String, quoted: String)) {
        #expect(doubleQuoted(pair.text) == pair.quoted)
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `the total of a search tells what is left where Jira counts`(
        _ deployment: TrackerDeployment
    ) async throws {
        let isCloud = deployment == .cloud
        let transport = ScriptedTransport { _, _, _ in
            let rest = isCloud ? #""nextPageToken":"n""# : #""total":42"#
            return (200, #"{"issues":[\#(row(1))],\#(rest)}"#)
        }
        let client = try client(deployment, transport)
        let page = try await client.issues(
            of: project,
            walk: .everything,
            page: nil,
            validator: nil
        )
        #expect(page.remainingCount == (isCloud ? nil : 41))
    }

    @Test func `comments without an end are given up`() async throws {
        let transport = ScriptedTransport { path, query, turn in
            guard path.hasSuffix("/comment") else {
                let some = #""comment":{"comments":[],"total":2000000}}"#
                let issue = row(1).replacing(#""comment":{"comments":[],"total":0}}"#, with: some)
                return (200, #"{"issues":[\#(issue)],"isLast":true}"#)
            }
            let comment = """
                {"id":"\(turn)","author":{"displayName":"Ann"},"body":"b",
                "created":"2024-01-01T00:00:00.000+0000","updated":"2024-01-01T00:00:00.000+0000"}
                """
            let total = (query["startAt"].flatMap { Int($0) } ?? 0) + 2
            return (200, #"{"comments":[\#(comment)],"total":\#(total)}"#)
        }
        let client = try client(.server, transport)
        let error = await #expect(throws: TrackerError.self) {
            _ = try await client.issues(
                of: project,
                walk: .everything,
                page: nil,
                validator: nil
            )
        }
        #expect("\(try #require(error))".contains("do not end after 1000 pages"))
        #expect(transport.requests.count(where: { $0.path.hasSuffix("/comment") }) == 1_000)
    }

    @Test func `queries use milliseconds without quotes and no upper end`() {
        let since = Timestamp(milliseconds: 1_732_877_091_000)
        #expect(
            JQL.issues(ofProject: "10", changedSince: since)
                == #"project = "10" AND updated >= 1732877091000 ORDER BY updated ASC, key ASC"#
        )
        #expect(
            JQL.issues(ofProject: "10", after: 77)
                == #"project = "10" AND id > 77 ORDER BY id ASC"#
        )
        #expect(JQL.issues(ofProject: "10", after: 0) == #"project = "10" ORDER BY id ASC"#)
    }

    @Test(arguments: [
        (IssueWalk.everything, JiraCursor.all(after: 7)),
        (.census, .census(after: 9)),
        (
            .changed(since: Timestamp(milliseconds: 0)),
            .changed(since: Timestamp(milliseconds: 5000))
        ),
        (
            .changed(since: Timestamp(milliseconds: 0)),
            .ties(second: Timestamp(milliseconds: 5000), after: 3)
        ),
    ])
    func `a place survives as a token`(_ pair: (walk: IssueWalk, cursor: JiraCursor)) throws {
        #expect(try JiraCursor(pair.cursor.token, walk: pair.walk) == pair.cursor)
    }

    @Test(arguments: [
        "", ":", "all", "all:", "all:-1", "all:x", "all:1:2", "census:1", "changed:5",
        "all:99999999999999999999", "ties:1", "?page=2", "all:1 OR 1=1",
    ])
    func `a token of another kind means starting again`(_ token: String) {
        #expect(throws: TrackerError.pageTokenExpired) {
            _ = try JiraCursor(PageToken(token), walk: .everything)
        }
    }

    @Test func `a walk by time goes on from the earliest of the last rows`() throws {
        func place(_ seconds: Int64) -> JiraRowPlace {
            JiraRowPlace(id: 1, updatedAt: Timestamp(milliseconds: seconds * 1000 + 500))
        }
        let start = JiraCursor.changed(since: Timestamp(milliseconds: 1000))
        let stale = [place(2), place(3), place(4), place(900)]
        let second = { (value: Int64) in Timestamp(milliseconds: value * 1000) }
        #expect(try start.next(after: stale, isLast: false) == .changed(since: second(3)))
        #expect(try start.next(after: stale, isLast: true) == nil)
        let tied = [place(1), place(1)]
        #expect(try start.next(after: tied, isLast: false) == .ties(second: second(1), after: 0))
        let ties = JiraCursor.ties(second: second(1), after: 0)
        #expect(try ties.next(after: tied, isLast: true) == .changed(since: second(2)))
        #expect(throws: TrackerError.self) {
            _ = try JiraCursor.all(after: 1).next(after: tied, isLast: false)
        }
        #expect(throws: TrackerError.self) { _ = try start.next(after: [], isLast: false) }
    }

    @Test(arguments: [
        ("https://jira.example/", "https://jira.example"),
        ("jira.example/jira//", "https://jira.example/jira"),
        ("http://h:8080/ctx/rest/api/2/", "http://h:8080/ctx"),
    ])
    func `the site's address keeps its context path`(_ pair: (String, String)) throws {
        #expect(try JiraClient.baseURL(pair.0) == pair.1)
    }

    @Test(arguments: [nil, "", "ftp://x"])
    func `an address that cannot be a site is refused`(_ url: String?) {
        #expect(throws: TrackerError.self) { _ = try JiraClient.baseURL(url) }
    }

    @Test func `short and empty pages in the middle end nothing`() async throws {
        let transport = ScriptedTransport { _, query, _ in
            let jql = query["jql"] ?? ""
            if jql.contains("id > 2") { return (200, #"{"issues":[\#(row(3))],"isLast":true}"#) }
            switch query["nextPageToken"] {
            case nil: return (200, #"{"issues":[],"nextPageToken":"a"}"#)
            case "a": return (200, #"{"issues":[],"nextPageToken":"b"}"#)
            default: return (200, #"{"issues":[\#(row(1)),\#(row(2))],"nextPageToken":"c"}"#)
            }
        }
        let result = try await client(.cloud, transport).walk(project, .everything)
        #expect(result.order == ["P-1", "P-2", "P-3"])
        #expect(transport.requests.count == 4)
    }

    @Test func `a token that comes again ends the walk with an error`() async throws {
        let transport = ScriptedTransport { _, _, _ in
            (200, #"{"issues":[],"nextPageToken":"same"}"#)
        }
        await #expect(throws: TrackerError.self) {
            _ = try await client(.cloud, transport).walk(project, .everything)
        }
        #expect(transport.requests.count == 2)
    }

    @Test func `a search that answers the same page again ends with an error`() async throws {
        let transport = ScriptedTransport { _, _, _ in
            (200, #"{"issues":[\#(row(1))],"nextPageToken":"x"}"#)
        }
        await #expect(throws: TrackerError.self) {
            _ = try await client(.cloud, transport).walk(project, .everything)
        }
        #expect(transport.requests.count == 2)
    }

    @Test func `a Server that lowers the page size is followed by what it sends`() async throws {
        let transport = ScriptedTransport { path, query, _ in
            #expect(path == "/jira/rest/api/2/search")
            let jql = query["jql"] ?? ""
            let last = (1...5).last { jql.contains("id > \($0)") } ?? 0
            let ids = (last + 1)...min(last + 2, 5)
            let rows = ids.map { row($0) }.joined(separator: ",")
            return (200, #"{"maxResults":2,"total":\#(5 - last),"issues":[\#(rows)]}"#)
        }
        let client = try client(.server, url: "https://jira.example/jira", transport)
        let result = try await client.walk(project, .everything)
        #expect(result.order == ["P-1", "P-2", "P-3", "P-4", "P-5"])
        #expect(result.pages == 3)
        #expect(result.issues["3"]?.url == "https://jira.example/browse/P-3")
    }

    @Test func `case 19 - one bad row is kept with its bytes and costs no other`() async throws {
        let bad = #"{"id":"2","key":"P-2","fields":{"summary":7}}"#
        let broken = #"{"id":"3","key":"P-3","fields":{"summary":"\q"}}"#
        let surrogate = row(4).replacing("s4", with: #"\ud83d \u0000 end"#)
        let transport = ScriptedTransport { _, _, _ in
            (200, #"{"issues":[\#(row(1)),\#(bad),\#(broken),\#(surrogate)],"isLast":true}"#)
        }
        let result = try await client(.cloud, transport).walk(project, .everything)
        #expect(result.order == ["P-1", "P-4"])
        #expect(result.issues["4"]?.title == "\u{FFFD} \u{FFFD} end")
        #expect(result.malformed.map(\.raw) == [Array(bad.utf8), Array(broken.utf8)])
        #expect(result.malformed.map(\.externalID) == ["2", nil])
        #expect(result.malformed[0].reason.contains("status"))
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `a page of HTML is an error with a hint, never an empty site`(
        _ deployment: TrackerDeployment
    ) async throws {
        let refused = ScriptedTransport { _, _, _ in (401, "<html>Unauthorized (401)</html>") }
        let first = await #expect(throws: TrackerError.self) {
            _ = try await client(deployment, refused).verify()
        }
        #expect(first == .unauthenticated(detail: "status 401: an HTML page"))
        let login = ScriptedTransport { _, _, _ in (200, "<html>Log in</html>") }
        let second = await #expect(throws: TrackerError.self) {
            _ = try await client(deployment, login).walk(project, .everything)
        }
        #expect(second?.hint != nil)
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `a project that cannot be read is named beside the others`(
        _ deployment: TrackerDeployment
    ) async throws {
        let transport = ScriptedTransport { path, query, _ in
            let rows = [#"{"id":"1","key":"A"}"#, #"{"key":"B","name":"no id"}"#]
            let last = #"{"id":"3","key":"C","name":"Sea"}"#
            switch (path, query["startAt"]) {
            case ("/rest/api/2/project", _):
                return (200, "[\((rows + [last]).joined(separator: ","))]")
            case ("/rest/api/3/project/search", "0"):
                return (200, #"{"isLast":false,"values":[\#(rows.joined(separator: ","))]}"#)
            // The unreadable row counts as a place.
            case ("/rest/api/3/project/search", "2"):
                return (200, #"{"isLast":true,"values":[\#(last)]}"#)
            default: return (200, "{}")
            }
        }
        let site = RemoteOrganization(externalID: "s", path: "s", name: "s")
        let list = try await client(deployment, transport).projects(of: site)
        #expect(list.map(\.path) == ["A", "C"])
        #expect(list.unreadable.map(\.path) == ["B"])
        #expect(list.unreadable.first?.reason == "`id` is no identifier")
    }

    @Test func `an anchor that was deleted meanwhile starts the walk again`() async throws {
        let transport = ScriptedTransport { path, query, _ in
            if path.hasSuffix("/project/10") { return (200, #"{"id":"10"}"#) }
            let message = "A value with ID '7' does not exist for the field 'id'."
            return (400, #"{"errorMessages":["\#(message)"]}"#)
        }
        let client = try client(.cloud, transport)
        await #expect(throws: TrackerError.pageTokenExpired) {
            let token = PageToken("all:7")
            _ = try await client.issues(
                of: project,
                walk: .everything,
                page: token,
                validator: nil
            )
        }
    }
}
