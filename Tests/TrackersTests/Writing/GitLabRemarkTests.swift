import Domain
import TestSupport
import Testing

@testable import Trackers

/// Remarks on lines of a merge request, told to a service that finds lines as GitLab does: by
/// exactly the two numbers that a line has, also between the changes, and by no others.
struct GitLabRemarkTests {
    private static let reference = IssueReference(
        externalID: "2009",
        kind: .pullRequest,
        number: 9,
        key: "acme/tool!9"
    )
    private static let root = "/api/v4/projects/7/merge_requests/9"
    private static let threadID = "0123456789012345678901234567890123456789"

    // MARK: - The service

    private static func merge(_ commits: String) -> String {
        """
        {"id":309,"iid":9,"project_id":7,"title":"Mend it","description":"","state":"opened",
        "labels":[],"author":{"username":"ann"},"assignees":[],"draft":false,
        "created_at":"2025-01-02T03:04:05.000Z","updated_at":"2025-01-03T03:04:05.000Z",
        "web_url":"https://gitlab.example.com/acme/tool/-/merge_requests/9","user_notes_count":0,
        "source_branch":"mend","target_branch":"main","sha":"h","changes_count":"5",
        "diff_refs":\(commits)}
        """
    }

    private static let commits = #"{"base_sha":"b","start_sha":"s","head_sha":"h"}"#

    private static func file(
        _ old: String,
        _ new: String,
        _ mark: String,
        _ diff: String
    ) -> String {
        let marks = ["new_file", "renamed_file", "deleted_file"].map { name in
            "\"\(name)\":\(name == mark)"
        }.joined(separator: ",")
        return #"{"old_path":"\#(old)","new_path":"\#(new)",\#(marks),"diff":"\#(diff)"}"#
    }

    /// The first is a new file at the path that the next one has left.
    private static let diffs = [
        file("a.c", "a.c", "new_file", #"@@ -0,0 +1 @@\n+x\n"#),
        file("a.c", "b.c", "renamed_file", #"@@ -10,3 +10,4 @@\n a\n-b\n+B\n+C\n d\n"#),
        file("new.c", "new.c", "new_file", #"@@ -0,0 +1,3 @@\n+x\n+y\n+z\n"#),
        file("gone.c", "gone.c", "deleted_file", #"@@ -1,2 +0,0 @@\n-x\n-y\n"#),
        file("large.c", "large.c", "new_file", ""), file("image.png", "image.png", "", ""),
        file("here.c", "there.c", "renamed_file", ""),
    ]

    /// Whether a file has a line with these numbers; `a.c` had 30, of which the 11th became two.
    private static func isLine(_ paths: String, _ old: Int64?, _ new: Int64?) -> Bool {
        switch (paths, old, new) {
        case ("a.c b.c", let old?, let new?):
            ((1...10).contains(old) && new == old) || ((12...30).contains(old) && new == old + 1)
        case ("a.c b.c", 11?, nil), ("a.c b.c", nil, 11?), ("a.c b.c", nil, 12?): true
        case ("new.c new.c", nil, let new?): (1...3).contains(new)
        case ("gone.c gone.c", let old?, nil): (1...2).contains(old)
        case ("large.c large.c", nil, let new?): (1...9_000).contains(new)
        case ("here.c there.c", let old?, let new?): (1...5).contains(old) && old == new
        case ("a.c a.c", nil, 1?): true
        default: false
        }
    }

    private static func thread(_ body: String, at position: JSONValue) -> JSONValue {
        [
            "id": .string(threadID), "individual_note": false,
            "notes": [
                [
                    "id": 51, "type": "DiffNote", "body": .string(body), "system": false,
                    "author": ["username": "me"], "resolvable": true, "resolved": false,
                    "created_at": "2100-01-01T00:00:00.000Z",
                    "updated_at": "2100-01-01T00:00:00.000Z", "position": position,
                ]
            ],
        ]
    }

    private static func discuss(_ body: JSONValue) -> ScriptedHTTPServer.Step {
        let position = body["position"] ?? .null
        let paths = ["old_path", "new_path"].map { position[$0]?.string ?? "" }
        let numbers = ["old_line", "new_line"].map { position[$0]?.integer }
        let commits = ["base_sha", "start_sha", "head_sha"].map { position[$0]?.string }
        guard commits == ["b", "s", "h"], position["position_type"] == "text",
            isLine(paths.joined(separator: " "), numbers[0], numbers[1])
        else {
            // GitLab's words.
            let words = #"Note {:line_code=>[\"can't be blank\", \"must be a valid line code\"]}"#
            return .answer(400, text: "{\"message\":\"400 Bad request - \(words)\"}")
        }
        let answer = thread(body["body"]?.string ?? "", at: position)
        return .answer(201, text: answer.serializedText())
    }

    private static func gitLab(_ call: ScriptedService.Call) -> ScriptedHTTPServer.Step? {
        switch (call.method, call.path) {
        case ("GET", root): .answer(text: merge(commits))
        case ("GET", "\(root)/diffs"): .answer(text: "[\(diffs.joined(separator: ","))]")
        case ("POST", "\(root)/discussions"): discuss(call.body)
        default: nil
        }
    }

    private func writer(_ service: ScriptedService) throws -> any PullRequestWriter {
        let parameters = try WritingFixture.parameters(
            .gitlab,
            url: service.server.origin,
            clock: service.clock
        )
        return try #require(try TrackerClients.writers(parameters).pullRequests)
    }

    private func add(
        _ path: String,
        _ line: Int,
        _ side: DiffSide,
        on service: ScriptedService
    ) async throws -> PullRequestComment {
        try await writer(service).addReviewComment(
            LineComment(path: path, line: line, side: side, body: "Why?"),
            to: Self.reference,
            in: GitHubFixture.project
        )
    }

    // MARK: - Lines

    @Test(arguments: [
        ("b.c", DiffSide.right, [1, 9, 10, 11, 12, 13, 14, 31]),
        ("a.c", .left, [1, 10, 11, 12, 13, 30]), ("b.c", .left, [1, 11, 30]),
        ("new.c", .right, [1, 3]), ("gone.c", .left, [1, 2]), ("large.c", .right, [1, 8_000]),
        ("there.c", .right, [1, 5]), ("here.c", .left, [5]), ("a.c", .right, [1]),
    ])
    func `a line is found, whether it was added, removed or left as it was`(
        _ place: (path: String, side: DiffSide, lines: [Int])
    ) async throws {
        let service = try ScriptedService { Self.gitLab($0) }
        for line in place.lines {
            let remark = try await add(place.path, line, place.side, on: service)
            #expect(remark.comment.body == "Why?" && remark.threadID == Self.threadID)
            let shown = try #require(remark.place)
            // A line of both files is shown by its number in the new one.
            if shown.side == place.side { #expect(shown.line == line, "\(place.path):\(line)") }
        }
    }

    @Test(arguments: [
        ("b.c", 32, DiffSide.right, "line", "on RIGHT it shows 10-13"),
        ("a.c", 31, .left, "line", "on LEFT it shows 10-12"),
        ("b.c", 9_999_999, .right, "line", "on RIGHT it shows 10-13"),
        ("there.c", 6, .right, "line", "the merge request as a whole"),
    ])
    func `a line that GitLab does not find is refused with the lines that it shows`(
        _ wrong: (path: String, line: Int, side: DiffSide, field: String, cure: String)
    ) async throws {
        let service = try ScriptedService { Self.gitLab($0) }
        let refused = try #require(
            await refusal { _ = try await add(wrong.path, wrong.line, wrong.side, on: service) }
        )
        #expect(refused.fields.map(\.field) == [wrong.field])
        #expect(refused.cure.contains(wrong.cure), "\(refused.cure)")
        #expect("\(refused)".contains("`line` \(wrong.line) is no line"), "\(refused)")
        #expect(service.calls.count { $0.method == "POST" } == 1)
    }

    @Test(arguments: [
        ("new.c", 4, DiffSide.right, "line", "on RIGHT it shows 1-3"),
        ("new.c", 1, .left, "line", "give the other `side`"),
        ("gone.c", 3, .left, "line", "on LEFT it shows 1-2"),
        ("gone.c", 1, .right, "line", "give the other `side`"),
        ("image.png", 1, .right, "path", "without `path` and `line`"),
        ("z.c", 1, .right, "path", "`b.c`"),
    ])
    func `a line that cannot be there is refused before anything is sent`(
        _ wrong: (path: String, line: Int, side: DiffSide, field: String, cure: String)
    ) async throws {
        let service = try ScriptedService { Self.gitLab($0) }
        let refused = try #require(
            await refusal { _ = try await add(wrong.path, wrong.line, wrong.side, on: service) }
        )
        #expect(refused.fields.map(\.field) == [wrong.field])
        #expect(refused.cure.contains(wrong.cure), "\(refused.cure)")
        #expect(!service.calls.contains { $0.method == "POST" })
    }

    /// The commits are null until GitLab has made the diff of a new merge request.
    @Test func `a merge request without a diff so far is told`() async throws {
        let service = try ScriptedService { call in
            call.path == Self.root && call.method == "GET"
                ? .answer(text: Self.merge("null")) : Self.gitLab(call)
        }
        let refused = await refusal { _ = try await add("b.c", 11, .right, on: service) }
        #expect(refused?.reason == .conflict)
        #expect(refused?.cure.contains("in a moment") == true)
        #expect(!service.calls.contains { $0.method == "POST" })
    }

    /// The same words on another line were taken for the remark whose answer was lost.
    @Test(arguments: [11, 12])
    func `a remark whose answer is lost is looked for on its own line`(_ line: Int) async throws {
        let position: JSONValue = [
            "old_path": "a.c", "new_path": "b.c", "old_line": .null, "new_line": 11,
        ]
        let threads = JSONValue.array([Self.thread("Why?", at: position)]).serializedText()
        let service = try ScriptedService { call in
            switch (call.method, call.path) {
            case ("POST", _): .answer(502, text: "")
            case ("GET", "\(Self.root)/discussions"): .answer(text: threads)
            default: Self.gitLab(call)
            }
        }
        var found: PullRequestComment?
        let error = await trackerError {
            found = try await add("b.c", line, .right, on: service)
        }
        if line == 11 {
            #expect(error == nil && found?.place?.line == 11)
        } else if case .outcomeUnknown? = error {
            #expect(found == nil)
        } else {
            Issue.record("\(String(describing: error))")
        }
        #expect(service.calls.count { $0.method == "POST" } == 1)
    }

    // MARK: - Reviews

    /// Half of a review stood there, and whoever mended the line sent that half again.
    @Test(arguments: [("new.c", 4, 0), ("b.c", 32, 1)])
    func `a review's remarks are all looked for first, and one that is refused tells what stands`(
        _ wrong: (path: String, line: Int, sent: Int)
    ) async throws {
        let service = try ScriptedService { Self.gitLab($0) }
        let writer = try writer(service)
        let remarks = [("b.c", 11), (wrong.path, wrong.line)].map { path, line in
            LineComment(path: path, line: line, side: .right, body: "Why?")
        }
        let refused = try #require(
            await refusal {
                _ = try await writer.review(
                    Self.reference,
                    in: GitHubFixture.project,
                    ReviewDraft(.comment, comments: remarks)
                )
            }
        )
        #expect(refused.fields.map(\.field) == ["line"])
        let sent = service.calls.filter { $0.method == "POST" }
        // The one that is refused by GitLab was sent, too.
        #expect(sent.count == (wrong.sent == 0 ? 0 : 2))
        #expect(refused.cure.contains("the first remark is there") == (wrong.sent == 1))
        #expect(service.calls.count { $0.path == "\(Self.root)/diffs" } == 1)
    }

    // MARK: - Threads

    /// The thread was resolved, whichever comment was named beside it.
    @Test func `a thread that is not the comment's is left alone`() async throws {
        let path = "\(Self.root)/discussions/\(Self.threadID)"
        let thread = Self.thread("Why?", at: .null).serializedText()
        let service = try ScriptedService { call in
            call.path == path ? .answer(text: thread) : nil
        }
        let writer = try writer(service)
        func resolve(_ id: String) async throws {
            _ = try await writer.updateReviewComment(
                id,
                of: Self.reference,
                in: GitHubFixture.project,
                ReviewCommentChange(isResolved: true, threadID: Self.threadID)
            )
        }
        let refused = await refusal { try await resolve("52") }
        #expect(refused?.fields.map(\.field) == ["thread_id"])
        #expect(!service.calls.contains { $0.method == "PUT" })
        try await resolve("51")
        // The thread's own identifier stands for its first comment.
        try await resolve(Self.threadID)
        let sent = service.calls.filter { $0.method == "PUT" }
        #expect(sent.map(\.path) == [path, path])
        #expect(sent.allSatisfy { $0.body == ["resolved": true] })
    }
}
