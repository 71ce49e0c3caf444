import Domain
import HTTPClient
import Synchronization
import TestSupport
import Testing

@testable import Trackers

/// When a write is sent again, and when it must not be.
struct WriteTests {
    private static let project = GitHubFixture.project

    private func writers(_ service: ScriptedService) throws -> TrackerWriters {
        try TrackerClients.writers(
            WritingFixture.parameters(.github, url: service.server.origin, clock: service.clock)
        )
    }

    private func addComment(_ service: ScriptedService) async throws -> Domain.Comment {
        try await writers(service).comments.addComment(
            "Me too",
            to: GitHubFixture.reference,
            in: Self.project,
            replyingTo: nil
        )
    }

    private static let created = ScriptedHTTPServer.Step.answer(
        201,
        text: GitHubFixture.comment(5, issue: 1)
    )

    @Test(arguments: [
        (429, [("Retry-After", "2")], "{}"), (503, [("Retry-After", "1")], "<html>"),
        (403, [("Retry-After", "3")], #"{"message":"secondary rate limit"}"#),
        (403, [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "5")], "{}"),
        (425, [], "{}"),
    ])
    func `what surely was not done is sent again`(
        _ refusal: (status: Int, headers: [(String, String)], text: String)
    ) async throws {
        let service = try ScriptedService { call in
            call.index == 0
                ? .answer(refusal.status, headers: refusal.headers, text: refusal.text)
                : Self.created
        }
        #expect(try await addComment(service).externalID == "5")
        #expect(service.server.requests.map(\.method) == ["POST", "POST"])
    }

    @Test func `no connection is tried again and ends as unavailable`() async throws {
        let service = try ScriptedService { _ in nil }
        let origin = service.server.origin
        service.server.stop()
        let clock = VirtualClock()
        let writers = try TrackerClients.writers(
            WritingFixture.parameters(.github, url: origin, clock: clock)
        )
        let error = await trackerError {
            _ = try await writers.issues.createIssue(IssueDraft(title: "x"), in: Self.project)
        }
        guard case .unavailable? = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
        #expect(clock.now.offset > .zero)
    }

    @Test(arguments: [
        ScriptedHTTPServer.Step.reset, .answer(502, text: "<html>Bad Gateway"),
        .answer(500, text: "{}"), .answer(503, text: "no backend"),
        .raw("HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{\"id\":"),
        .answer(201, text: "<html>"),
    ])
    func `what may have been done is looked for and never sent again`(
        _ step: ScriptedHTTPServer.Step
    ) async throws {
        for isDone in [true, false] {
            let service = try ScriptedService(steps: { (call) -> [ScriptedHTTPServer.Step] in
                if call.method == "POST" { return [step, .close] }
                let comment = GitHubFixture.comment(5, issue: 1).replacing(
                    "2025-01-03T00:00:00Z",
                    with: "2099-01-03T00:00:00Z"
                )
                return [.answer(text: isDone ? "[\(comment)]" : "[]")]
            })
            if isDone {
                #expect(try await addComment(service).externalID == "5")
            } else {
                let error = await trackerError { _ = try await addComment(service) }
                guard case .outcomeUnknown? = error else {
                    Testing.Issue.record("\(String(describing: error))")
                    return
                }
                #expect(error?.isRetryable == false)
                #expect(error?.hint?.contains("look") == true)
            }
            #expect(service.server.requests.count { $0.method == "POST" } == 1)
        }
    }

    @Test func `a kept connection that dies sends no write twice`() async throws {
        let service = try ScriptedService(steps: { (call) -> [ScriptedHTTPServer.Step] in
            call.method == "POST" ? [.close] : [.answer(text: "[]")]
        })
        let writers = try writers(service)
        // A read first: its connection is kept open.
        _ = try? await writers.issues.issue(GitHubFixture.reference, in: Self.project)
        _ = await trackerError {
            _ = try await writers.comments.addComment(
                "x",
                to: GitHubFixture.reference,
                in: Self.project,
                replyingTo: nil
            )
        }
        #expect(service.server.requests.count { $0.method == "POST" } == 1)
    }

    @Test func `what sets values is repeated until it is known to be done`() async throws {
        let service = try ScriptedService(steps: { (call) -> [ScriptedHTTPServer.Step] in
            guard call.method == "PATCH" else { return [.answer(404)] }
            return call.index < 2
                ? [.answer(502, text: "<html>")] : [.answer(text: GitHubFixture.issue(1))]
        })
        var change = IssueChange()
        change.title = "Crash 1"
        let written = try await writers(service).issues.updateIssue(
            GitHubFixture.reference,
            in: Self.project,
            change
        )
        #expect(written.issue.title == "Crash 1")
        #expect(service.server.requests.map(\.method) == ["PATCH", "PATCH", "PATCH"])
    }

    @Test func `when repeating does not help, nobody claims that nothing was done`() async throws {
        let service = try ScriptedService { _ in .answer(502, text: "<html>") }
        var change = IssueChange()
        change.title = "x"
        let error = await trackerError {
            _ = try await writers(service).issues.updateIssue(
                GitHubFixture.reference,
                in: Self.project,
                change
            )
        }
        guard case .outcomeUnknown? = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: [
        (403, #"{"message":"Repository was archived so is read-only."}"#, "archived"),
        (403, #"{"message":"Unable to create comment because issue is locked."}"#, "locked"),
        (410, #"{"message":"Issues are disabled for this repo"}"#, "disabled"),
        (409, #"{"message":"Conflict"}"#, "conflict"), (423, "{}", "locked"),
        (
            422,
            #"{"errors":[{"field":"head","message":"A pull request already exists for a:b."}]}"#,
            "conflict"
        ),
        (307, "{}", "moved"), (413, "{}", "invalid"),
        (400, #"{"errorMessages":[],"errors":{"labels":"no spaces"}}"#, "invalid"),
        (400, #"{"message":{"title":["can't be blank","is too short"]}}"#, "invalid"),
    ])
    func `refusals say what kind they are and what to do`(
        _ answer: (status: Int, text: String, reason: String)
    ) async throws {
        let service = try ScriptedService { _ in .answer(answer.status, text: answer.text) }
        let refused = await refusal { _ = try await addComment(service) }
        #expect(refused?.reason.rawValue == answer.reason)
        #expect(refused?.cure.isEmpty == false)
        #expect(service.calls.count == 1)
    }

    @Test func `field problems of all services are read`() {
        func fields(_ text: String) -> [String] {
            let response = HTTPResponse(
                status: 422,
                headers: HTTPHeaders(),
                body: Array(text.utf8),
                effectiveURL: ""
            )
            return ErrorDetail(response).fields.map { "\($0.field) \($0.problem)" }
        }
        #expect(
            fields(
                #"{"errors":[{"resource":"Issue","field":"title","code":"missing_field"}]}"#
            ) == ["title is missing"]
        )
        #expect(
            fields(#"{"message":{"title":["can't be blank"]}}"#) == ["title can't be blank"]
        )
        #expect(
            fields(#"{"error":"title is missing, state is invalid"}"#)
                == ["title is missing", "state is invalid"]
        )
        #expect(
            fields(#"{"errorMessages":[],"errors":{"summary":"too long"}}"#)
                == ["summary too long"]
        )
        #expect(fields(#"{"message":"404 Not Found"}"#) == [])
    }

    @Test func `a refused token is renewed and the write sent once more`() async throws {
        let service = try ScriptedService { call in
            call.headers["authorization"] == "Bearer new" ? Self.created : .answer(401)
        }
        let tokens = Mutex<[String]>(["old", "new"])
        var parameters = try WritingFixture.parameters(
            .github,
            url: service.server.origin,
            clock: service.clock
        )
        parameters.credential = { () throws(TrackerError) in
            Secret(tokens.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] })
        }
        let comments = try TrackerClients.writers(parameters).comments
        let comment = try await comments.addComment(
            "x",
            to: GitHubFixture.reference,
            in: Self.project,
            replyingTo: nil
        )
        #expect(comment.externalID == "5")
    }

    @Test func `a cancelled call sends nothing`() async throws {
        let service = try ScriptedService { _ in Self.created }
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await trackerError { _ = try await addComment(service) }
        }
        #expect(await task.value == .cancelled)
        #expect(service.calls.isEmpty)
    }

    @Test func `a call cancelled while it looks does not say that nothing was done`() async throws {
        let task = Mutex<Task<TrackerError?, Never>?>(nil)
        let service = try ScriptedService(steps: { (call) -> [ScriptedHTTPServer.Step] in
            if call.method == "POST" { return [.answer(502, text: "<html>")] }
            task.withLock { $0?.cancel() }
            return [.answer(text: "[]")]
        })
        let running = Task { await trackerError { _ = try await addComment(service) } }
        task.withLock { $0 = running }
        guard case .outcomeUnknown? = await running.value else {
            Testing.Issue.record("\(String(describing: await running.value))")
            return
        }
    }
}
