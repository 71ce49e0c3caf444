package import Domain
import HTTPClient

extension GitLabClient: CommentWriter {
    /// Adds a note; a reply goes to the thread of the note it answers.
    ///
    /// After an unknown outcome the newest notes are looked through.
    package func addComment(
        _ body: String,
        to issue: IssueReference,
        in project: RemoteProject,
        replyingTo parent: String?
    ) async throws(TrackerError) -> Comment {
        var path = "\(Self.path(project, issue))/notes"
        if let parent {
            let thread = try await discussion(of: parent, on: issue, in: project)
            path = "\(Self.path(project, issue))/discussions/\(percentEncoded(thread))/notes"
        }
        let start = now()
        return try await session.writeOnce(
            .json("POST", path, ["body": .string(body)]),
            read: { (value) throws(TrackerError) in try readNote(value) },
            find: { () async throws(TrackerError) in
                try await note(body, since: start, on: issue, in: project)
            }
        )
    }

    private func note(
        _ body: String,
        since start: Timestamp,
        on issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> Comment? {
        let query = QueryString(["order_by": "created_at", "sort": "desc", "per_page": "30"])
        let request = TrackerRequest(path: "\(Self.path(project, issue))/notes", query: query)
        let rows = try await session.list(request).read(GitLabReading.note)
        let earliest = start.advanced(by: .zero - Self.clockTolerance)
        return rows.compactMap { try? $0.get() }.first {
            $0.createdAt >= earliest && haveEqualBytes($0.body, body)
        }
    }

    /// Replaces a note's text.
    package func updateComment(
        _ id: String,
        of issue: IssueReference,
        in project: RemoteProject,
        body: String
    ) async throws(TrackerError) -> Comment {
        let path = "\(Self.path(project, issue))/notes/\(percentEncoded(id))"
        let request = TrackerRequest.json("PUT", path, ["body": .string(body)])
        return try readNote(try await session.write(request, isIdempotent: true).value)
    }

    /// Threads beyond so many pages of a hundred are not looked through for a note.
    private static let maximumDiscussionPageCount = 20

    /// The thread that holds a note; `id` may be the thread's own identifier.
    func discussion(
        of id: String,
        on issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> String {
        // Threads have forty hexadecimal digits, notes a number.
        if id.utf8.count == 40, Int64(id) == nil { return id }
        var query: QueryString? = ["per_page": String(Self.pageSize)]
        for _ in 0..<Self.maximumDiscussionPageCount {
            guard let current = query else { break }
            let list = try await session.list(
                TrackerRequest(
                    path: "\(Self.path(project, issue))/discussions",
                    query: current,
                    paging: Self.paging
                )
            )
            for element in list.elements {
                // A thread that cannot be read holds no note that was.
                guard let thread = try? JSONParser.parse(list.raw(element)) else { continue }
                let holds = thread["notes"]?.array?.contains { note in
                    note["id"]?.integer.map { haveEqualBytes(String($0), id) } ?? false
                }
                if holds == true, let name = thread["id"]?.string { return name }
            }
            query = list.response.headers.nextPageQuery
        }
        throw .notFound(detail: "no thread of \(issue.key) holds the comment `\(id)`")
    }

    /// A note that was written; a command that GitLab carried out leaves none.
    func readNote(_ value: JSONValue) throws(TrackerError) -> Comment {
        if value["id"] == nil, value["commands_changes"] != nil || value["summary"] != nil {
            throw .refused(
                WriteRefusal(
                    .invalid,
                    detail: "GitLab took the text for commands and carried them out",
                    cure: "put text beside the commands"
                )
            )
        }
        return try readAnswer(value, GitLabReading.anyNote)
    }
}
