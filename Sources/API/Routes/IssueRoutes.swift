import Domain
import Gateway
import HTTPTypes
import Search
import Store

/// Issues: lists, search, one by itself, and what is written to trackers.
struct IssueRoutes: Sendable {
    let store: Store
    let search: @Sendable (AccountID, SearchRequest.Mode) async throws -> IssueSearch
    let tools: ToolRoutes
    /// Whose change of an issue it is, of those who say what they have seen.
    private let turns = Turns()

    init(
        store: Store,
        search: @escaping @Sendable (AccountID, SearchRequest.Mode) async throws -> IssueSearch,
        tools: ToolRoutes
    ) {
        self.store = store
        self.search = search
        self.tools = tools
    }

    private static let tag = "Issues"
    private static let path = "/api/v1/issues"
    /// Hits on a page when nobody says.
    private static let standardHits = 10
    /// Pages of a search begin here at the latest: with the longest they end where searches do.
    private static let furthestHit = SearchRequest.maximumReach - PageRequest.maximumLimit
    /// The same of similar issues.
    private static let furthestSimilar = IssueSearch.maximumSimilar - PageRequest.maximumLimit
    private static let hitShape = Shape.object([
        "item_type": Shape.choice(["issue", "comment"]), "item": IssueShapes.summary,
        "similarity": Shape.number, "vector_score": ["type": ["number", "null"]],
        "lexical_score": ["type": ["number", "null"]], "passage": Shape.optionalText,
    ])
    private static let searchShape = Shape.object([
        "query": Shape.text, "search_type": Shape.text, "note": Shape.optionalText,
        "results": Shape.list(of: hitShape),
    ])

    /// The routes.
    var routes: [Route] { readingRoutes + writingRoutes }

    // MARK: - Reading

    private var readingRoutes: [Route] {
        let access = Route.Access.permission(.viewIssues)
        return [
            IssueRestriction.parameters(
                of: .on(
                    .get,
                    Self.path,
                    access,
                    tag: Self.tag,
                    "Issues, the latest change first",
                    handler: list
                )
            ).paged.answers(.ok, Shape.list(of: IssueShapes.summary)).problems(.notFound),
            searchRoute(
                Self.path + "/search",
                "Search issues; without a query, the latest changes",
                needsQuery: false
            ),
            searchRoute(
                "/api/v1/search",
                "Search issues and their comments",
                needsQuery: true
            ),
            .on(.get, "\(Self.path)/{id}", access, tag: Self.tag, "An issue with its comments") {
                request in
                Versioned.answer(try await issue(request), to: request)
            }.answers(.ok, IssueShapes.full).revalidated,
            .on(.get, "\(Self.path)/{id}/comments", access, tag: Self.tag, "An issue's comments") {
                request in
                let page = try PageRequest(request)
                let comments = try await issue(request)["comments"]?.array ?? []
                let slice = try page.slice(of: comments)
                return page.answer(slice.items, next: slice.next, to: request)
            }.paged.answers(.ok, Shape.list(of: IssueShapes.comment)),
            .on(
                .get,
                "\(Self.path)/{id}/similar",
                access,
                tag: Self.tag,
                "Issues like an issue, most similar first"
            ) { request in
                try await similar(request)
            }.paged(standard: Self.standardHits, furthest: Self.furthestSimilar)
                .answers(.ok, Shape.list(of: Self.hitShape))
                .problems(.serviceUnavailable, .conflict),
        ]
    }

    @Sendable private func list(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let (shown, next) = try await issues(of: page, request)
        return page.answer(shown.map(IssueShapes.json), next: next, to: request)
    }

    /// The issues of a page, the latest change first, with what leads to the next one.
    private func issues(
        of page: PageRequest,
        _ request: APIRequest
    ) async throws -> (shown: ArraySlice<IssueSummary>, next: String?) {
        let filter = try await IssueRestriction(store: store).filter(request)
        let place = try page.cursor.map(Self.place)
        let store = store.viewed(by: try request.user().account)
        let found = try await store.read { connection, account in
            try IssueListTable.page(
                matching: filter,
                after: place,
                offset: place == nil ? page.skip : 0,
                limit: page.limit + 1,
                account: account,
                on: connection
            )
        }
        let shown = found.prefix(page.limit)
        let next = found.count > page.limit ? shown.last.map(Self.cursor) : nil
        return (shown, next)
    }

    private static func cursor(_ issue: IssueSummary) -> String {
        "\(issue.updatedAt.milliseconds)/\(issue.issue)"
    }

    private static func place(_ cursor: String) throws(Problem) -> IssueListTable.Place {
        let parts = cursor.split(separator: "/").compactMap { Int64($0) }
        guard parts.count == 2 else { throw PageRequest.invalidCursor }
        return IssueListTable.Place(
            updatedAt: Timestamp(milliseconds: parts[0]),
            issue: IssueID(parts[1])
        )
    }

    private func summary(_ request: APIRequest) async throws -> IssueSummary {
        let id: IssueID = try request.identifier("id")
        let found = try await store.viewed(by: try request.user().account).read {
            connection,
            account in
            try PassageTable.summaries(of: [id], account: account, on: connection).first
        }
        guard let found else { throw Problem.notFound() }
        return found
    }

    private func issue(_ request: APIRequest) async throws -> JSONValue {
        let summary = try await summary(request)
        let (row, comments, organization) = try await store.viewed(
            by: try request.user().account
        ).read { connection, account in
            let project = try ProjectTable.find(
                summary.project,
                account: account,
                on: connection
            )
            return (
                try ExportTable.issue(summary.issue, account: account, on: connection),
                try ExportTable.comments(of: summary.issue, account: account, on: connection),
                try project.flatMap { project in
                    try OrganizationTable.find(
                        project.organizationID,
                        account: account,
                        on: connection
                    )
                }
            )
        }
        guard let row else { throw Problem.notFound() }
        return IssueShapes.json(summary, row.issue, comments, organization: organization?.path)
    }

    // MARK: - Search

    private func searchRoute(_ path: String, _ summary: String, needsQuery: Bool) -> Route {
        let route = Route.on(.get, path, .permission(.viewIssues), tag: Self.tag, summary) {
            request in
            guard request.arguments["query"] == nil else { return try await find(request) }
            guard !needsQuery else { throw Problem.invalid("query", "is missing") }
            return try await latest(request)
        }
        let modes = ["hybrid", "similarity", "fulltext"]
        return IssueRestriction.parameters(of: route)
            .query("query", Shape.text(10_000, "In your own words.", minimum: 1))
            .query("search_type", Shape.choice(modes, "By meaning, by words, or both (hybrid)."))
            .paged(standard: Self.standardHits, furthest: Self.furthestHit)
            .query(
                "sort",
                Shape.choice(
                    ["relevance", "similarity", "newest"],
                    "Hits come by relevance, and without a query the newest first."
                )
            )
            .query(
                "embedding_type",
                Shape.choice(["all"], "Issues and their comments are searched together.")
            )
            .answers(.ok, Self.searchShape).problems(.notFound, .serviceUnavailable, .conflict)
    }

    /// What a search without a query is: the issues that pass, the latest change first.
    private func latest(_ request: APIRequest) async throws -> APIResponse {
        let arguments = request.arguments
        for (name, words) in [
            ("search_type", ["similarity"]), ("sort", ["relevance", "similarity"]),
        ] {
            guard let word = arguments[name]?.string, words.contains(word) else { continue }
            throw Problem.invalid(name, "can be `\(word)` only with a `query`")
        }
        let page = try PageRequest(request, standard: Self.standardHits)
        let (found, next) = try await issues(of: page, request)
        let results = found.map { issue -> JSONValue in
            [
                "item_type": "issue", "item": IssueShapes.json(issue), "similarity": 0,
                "vector_score": .null, "lexical_score": .null, "passage": .null,
            ]
        }
        return .json(
            [
                "query": "", "search_type": "fulltext",
                "note": "without a query: the latest changes", "results": .array(results),
            ],
            headers: page.headers(next: next, to: request)
        )
    }

    private func find(_ request: APIRequest) async throws -> APIResponse {
        let arguments = request.arguments
        guard let text = arguments["query"]?.string else {
            throw Problem.invalid("query", "is missing")
        }
        guard arguments["sort"] != "newest" else {
            throw Problem.invalid("sort", "can be `newest` only without a `query`")
        }
        var question = SearchRequest(text: text)
        switch arguments["search_type"]?.string {
        case "similarity": question.mode = .vector
        case "fulltext": question.mode = .text
        default: question.mode = .hybrid
        }
        let page = try PageRequest(request, standard: Self.standardHits)
        question.offset = try page.start(atMost: Self.furthestHit)
        // One more tells whether there is a next page, which has to begin early enough.
        question.limit = min(page.limit + 1, SearchRequest.maximumReach - question.offset)
        question.filter = try await IssueRestriction(store: store).filter(request)
        let account = try request.user().account
        var note: String?
        let search: IssueSearch
        do {
            search = try await opened(question.mode, account)
        } catch let problem as Problem {
            // Without a model words are still there, where nobody insists on meaning.
            guard question.mode == .hybrid else { throw problem }
            question.mode = .text
            note = "searched by words alone: \(problem.detail)"
            search = try await opened(.text, account)
        }
        let hits = try await search.search(question)
        let end = question.offset + page.limit
        let hasNext = hits.count > page.limit && end <= Self.furthestHit
        let mode = question.mode
        return .json(
            [
                "query": .string(text),
                "search_type": .string(
                    mode == .vector ? "similarity" : mode == .text ? "fulltext" : "hybrid"
                ), "note": JSONValue(note),
                "results": .array(hits.prefix(page.limit).map(Self.json)),
            ],
            headers: page.headers(next: hasNext ? String(end) : nil, to: request)
        )
    }

    private func similar(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request, standard: Self.standardHits)
        let start = try page.start(atMost: Self.furthestSimilar)
        let end = start + page.limit
        let summary = try await summary(request)
        let search = try await opened(.hybrid, try request.user().account)
        let hits = try await search.similar(
            to: summary.issue,
            limit: min(end + 1, IssueSearch.maximumSimilar)
        )
        let hasNext = hits.count > end && end <= Self.furthestSimilar
        return page.answer(
            hits.dropFirst(start).prefix(page.limit).map(Self.json),
            next: hasNext ? String(end) : nil,
            to: request
        )
    }

    /// The indexes; a ``Problem`` that says what to do when they cannot be had.
    private func opened(
        _ mode: SearchRequest.Mode,
        _ account: AccountID
    ) async throws -> IssueSearch {
        do {
            return try await search(account, mode)
        } catch let failure as ToolFailure {
            throw Problem.unavailable(failure)
        }
    }

    private static func json(_ hit: SearchHit) -> JSONValue {
        [
            "item_type": hit.passage?.part == .comment ? "comment" : "issue",
            "item": IssueShapes.json(hit.issue), "similarity": IssueShapes.rounded(hit.score),
            "vector_score": hit.vectorScore.map(IssueShapes.rounded) ?? .null,
            "lexical_score": hit.lexicalScore.map(IssueShapes.rounded) ?? .null,
            "passage": JSONValue(hit.passage?.text),
        ]
    }

    // MARK: - Writing

    /// What a tool answers, as it is.
    private static let toolAnswer: JSONValue = ["type": "object"]
    /// As long as the tools take it.
    private static let description = Shape.text(BuiltInTools.maximumTextCharacters)

    private var writingRoutes: [Route] {
        let access = Route.Access.permission(.editIssues)
        let labels = Shape.list(of: Shape.text(255, minimum: 1), atMost: 100)
        return [
            .on(.post, Self.path, access, tag: Self.tag, "Create an issue in a tracker") {
                request in
                let arguments = try await IssueDraftReading(store: store).arguments(request)
                let answer = try await tools.call(
                    "create_issue",
                    arguments,
                    request,
                    mayWrite: true
                )
                guard answer["created"] != false else { throw Self.heldUp(answer) }
                return .json(answer, status: .created)
            }.body(
                Shape.object([
                    "project?": Shape.text(1_000), "project_name?": Shape.text(1_000),
                    "project_id?": Shape.identifier, "organization?": Shape.text(1_000),
                    "organization_name?": Shape.text(1_000),
                    "organization_id?": Shape.identifier,
                    "meta_data?": IssueDraftReading.metaData,
                    "title": Shape.text(1_000, minimum: 1), "description?": Self.description,
                    "labels?": labels, "assignee?": Shape.text(255), "priority?": Shape.text(255),
                    "status?": Shape.text(255), "type?": Shape.text(255),
                    "allow_duplicates?": Shape.flag,
                ])
            ).answers(.created, Self.toolAnswer).callsTools,
            .on(
                .put,
                "\(Self.path)/{id}",
                access,
                tag: Self.tag,
                "Change an issue in its tracker"
            ) { request in
                guard request.headers[.ifMatch] != nil else { return try await change(request) }
                let turn = Turns.Key(
                    account: try request.user().account,
                    issue: try await summary(request).issue
                )
                // Of two who have seen the same the second is refused, not let through beside the
                // first; who does not say what he has seen waits for nobody.
                return try await turns.take(turn) { try await change(request) }
            }.body(
                Shape.object([
                    "meta_data?": IssueDraftReading.metaData,
                    "title?": Shape.text(1_000, minimum: 1), "description?": Self.description,
                    "labels?": labels, "assignee?": Shape.text(255), "priority?": Shape.text(255),
                    "status?": Shape.text(255), "resolution?": Shape.text(255),
                    "type?": Shape.text(255), "duplicate_of?": Shape.text(2_000),
                ])
            ).answers(.ok, IssueShapes.full).tagged.guarded.callsTools,
            .on(
                .post,
                "\(Self.path)/{id}/comments",
                access,
                tag: Self.tag,
                "Comment an issue in its tracker"
            ) { request in
                let arguments: JSONValue = [
                    "target": .string(try await reference(request)),
                    "comment": request.content["body"] ?? "",
                ]
                let members = arguments.object ?? JSONObject()
                let answer = try await tools.call(
                    "add_comment",
                    members,
                    request,
                    mayWrite: true
                )
                return .json(answer, status: .created)
            }.body(
                Shape.object(["body": Shape.text(BuiltInTools.maximumTextCharacters, minimum: 1)])
            ).answers(.created, Self.toolAnswer).callsTools,
        ]
    }

    /// Changes an issue that is still what the client has seen.
    private func change(_ request: APIRequest) async throws -> APIResponse {
        try Versioned.check(request, against: try await issue(request))
        var arguments = request.content
        try IssueDraftReading.take(arguments["meta_data"]?.object, into: &arguments)
        arguments["issue"] = .string(try await reference(request))
        _ = try await tools.call("update_issue", arguments, request, mayWrite: true)
        do {
            return Versioned.answer(try await issue(request), to: request)
        } catch {
            // The change is made: a repeated request must not be told otherwise.
            throw Problem(cause: error).having(.unknown)
        }
    }

    /// Nothing was filed, for it seems to be filed already.
    private static func heldUp(_ answer: JSONValue) -> Problem {
        var problem = Problem(
            .conflict,
            answer["message"]?.string ?? "this seems to be reported already",
            code: "likely_duplicates"
        )
        problem.extensions["duplicates"] = answer["duplicates"]
        return problem
    }

    /// What tools take for the issue that the path names.
    private func reference(_ request: APIRequest) async throws -> String {
        let summary = try await summary(request)
        return summary.url.isEmpty ? summary.key : summary.url
    }
}
