import Domain
import HTTPClient

extension GitHubClient: PullRequestWriter {
    /// One pull request as it is now; the row among the issues is read too, for its identifier.
    package func pullRequest(
        _ pull: IssueReference,
        in project: RemoteProject,
        parts: PullRequestParts
    ) async throws(TrackerError) -> PullRequest {
        let issue = try await issue(pull, in: project)
        guard issue.kind == .pullRequest else {
            throw .notFound(detail: "\(issue.key) is an issue, not a pull request")
        }
        let path = Self.pullPath(project, pull)
        let (value, _) = try await session.document(TrackerRequest(path: path))
        var result = try readAnswer(value) { (fields) throws(FieldError) in
            try GitHubReading.pullRequest(fields, issue: issue)
        }
        if parts.contains(.files) {
            let files = try await session.rows(
                at: "\(path)/files",
                paging: Self.paging,
                read: GitHubReading.file
            )
            result.add(files: files.items, isComplete: files.isComplete)
        }
        if parts.contains(.reviews) {
            let reviews = try await session.rows(
                at: "\(path)/reviews",
                paging: Self.paging,
                read: GitHubReading.review
            )
            result.reviews = reviews.items
        }
        if parts.contains(.checks) {
            result.checks = try await checks(of: result.headRevision, in: project)
        }
        if parts.contains(.comments) {
            result.comments = try await comments(of: pull, in: project)
        }
        return result
    }

    static func pullPath(_ project: RemoteProject, _ pull: IssueReference) -> String {
        "\(path(project))/pulls/\(pull.number)"
    }

    /// Check runs and the older statuses together; nil when the token sees neither.
    private func checks(
        of revision: String,
        in project: RemoteProject
    ) async throws(TrackerError) -> Checks? {
        let path = "\(Self.path(project))/commits/\(percentEncoded(revision))"
        var found: [Checks.Check] = []
        for (list, key) in [("check-runs", "check_runs"), ("status", "statuses")] {
            let rows = try await session.rows(
                at: "\(path)/\(list)",
                paging: Self.paging,
                in: [key],
                acceptedStatuses: [403, 404, 422],
                read: GitHubReading.check
            )
            found += rows.items
        }
        return found.isEmpty ? nil : Checks(checks: found)
    }

    /// Comments on the whole, then remarks on lines with their threads.
    private func comments(
        of pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> [PullRequestComment] {
        let comments = try await session.rows(
            at: "\(Self.path(project, pull))/comments",
            paging: Self.paging,
            read: GitHubReading.comment
        )
        let remarks = try await session.rows(
            at: "\(Self.pullPath(project, pull))/comments",
            paging: Self.paging,
            read: GitHubReading.reviewComment
        )
        let threads =
            remarks.items.isEmpty ? ReviewThreads() : try await threads(of: pull, in: project)
        return comments.items.map { PullRequestComment(comment: $0.comment) }
            + remarks.items.map { remark in
                var remark = remark
                let thread = threads.ofRemarks[remark.comment.externalID]
                remark.threadID = thread
                remark.isResolved = thread.flatMap { threads.resolved[$0] }
                return remark
            }
    }

    // MARK: - What only GraphQL knows

    /// `number` is the field with the remark's number.
    private static func threadsQuery(_ number: String) -> String {
        """
        query($owner: String!, $name: String!, $number: Int!, $after: String) {
          repository(owner: $owner, name: $name) { pullRequest(number: $number) {
            reviewThreads(first: 100, after: $after) { pageInfo { hasNextPage endCursor }
              nodes { id isResolved comments(first: 100) { nodes { \(number) } } } } } } }
        """
    }
    /// Numbers are beyond what GraphQL's integers hold; older servers know only those.
    private static let remarkNumbers = ["fullDatabaseId", "databaseId"]
    /// Pages of a hundred threads that are read; a pull request with more is beyond what anybody
    /// reads.
    private static let threadPages = 20

    /// The threads of a pull request, and of each remark by its number; empty where GraphQL is not
    /// to be had.
    func threads(
        of pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> ReviewThreads {
        let names = project.path.split(separator: "/").map(String.init)
        guard names.count == 2 else { return ReviewThreads() }
        var threads = ReviewThreads()
        for number in Self.remarkNumbers {
            var cursor: JSONValue = .null
            for _ in 0..<Self.threadPages {
                let variables: JSONValue = [
                    "owner": .string(names[0]), "name": .string(names[1]),
                    "number": .integer(Int64(pull.number)), "after": cursor,
                ]
                var request = Self.graphQL(Self.threadsQuery(number), variables)
                request.acceptedStatuses = [400, 403, 404]
                let (value, _) = try await graphSession.document(request)
                let page = value["data"]?["repository"]?["pullRequest"]?["reviewThreads"]
                for node in page?["nodes"]?.array ?? [] { threads.add(node, number) }
                guard page?["pageInfo"]?["hasNextPage"]?.bool == true,
                    let next = page?["pageInfo"]?["endCursor"], next != cursor
                else { break }
                cursor = next
            }
            if !threads.resolved.isEmpty { break }
        }
        return threads
    }

    /// GraphQL lies beside REST: `/graphql`, on an Enterprise Server `/api/graphql`.
    private var graphSession: TrackerSession {
        var session = session
        if session.configuration.baseURL.hasSuffix("/v3") {
            session.configuration.baseURL.removeLast("/v3".count)
        }
        return session
    }

    private static func graphQL(_ query: String, _ variables: JSONValue) -> TrackerRequest {
        .json("POST", "/graphql", ["query": .string(query), "variables": variables])
    }

    /// Runs a mutation that may be run twice, and refuses what it refuses.
    func mutate(_ query: String, _ variables: JSONValue) async throws(TrackerError) {
        let request = Self.graphQL(query, variables)
        let (value, _) = try await graphSession.write(request, isIdempotent: true)
        guard let error = value["errors"]?[0] else { return }
        let detail = sanitized(error["message"]?.string ?? "no reason given")
        switch error["type"]?.string {
        case "FORBIDDEN", "INSUFFICIENT_SCOPES":
            throw .forbidden(detail: detail, missingScope: nil)
        case "NOT_FOUND": throw .notFound(detail: detail)
        default: throw .refused(WriteRefusal(.invalid, detail: detail))
        }
    }
}

/// Threads of remarks as GraphQL tells them.
struct ReviewThreads {
    /// Whether each is resolved.
    private(set) var resolved: [String: Bool] = [:]
    /// The thread of each remark, of the first hundred of a thread.
    private(set) var ofRemarks: [String: String] = [:]

    /// Takes a thread in, whose remarks have their number under a name.
    mutating func add(_ node: JSONValue, _ number: String) {
        guard let id = node["id"]?.string else { return }
        resolved[id] = node["isResolved"]?.bool ?? false
        for remark in node["comments"]?["nodes"]?.array ?? [] {
            let value = remark[number]
            if let text = value?.string ?? value?.integer.map({ String($0) }) {
                ofRemarks[text] = id
            }
        }
    }
}
