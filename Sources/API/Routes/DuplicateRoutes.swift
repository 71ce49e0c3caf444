import Domain
import HTTPTypes
import Search
import Store

/// Pairs of issues that may be the same report, and what people decide about them.
struct DuplicateRoutes: Sendable {
    let store: Store

    private static let tag = "Duplicates"
    private static let path = "/api/v1/issue-duplicates"
    /// No cursor of ours leads further.
    private static let furthestPair = 1_000_000
    private static let verdict = Shape.choice(DuplicateTable.Verdict.allCases.map(\.rawValue))
    private static let status = Shape.choice(
        ["open", "opened", "closed", "all"],
        "At least one of them is open, both are closed, or all; all."
    )
    private static let pairShape = Shape.object([
        "issue1": IssueShapes.summary, "issue2": IssueShapes.summary, "similarity": Shape.number,
        "features": ["type": "object"], "resolution": Shape.optionalText,
    ])

    /// The routes.
    var routes: [Route] {
        let (view, review) = (
            Route.Access.permission(.viewIssues), Route.Access.permission(.reviewDuplicates)
        )
        return [
            .on(
                .get,
                Self.path,
                view,
                tag: Self.tag,
                "Pairs, most probable first; the similarity is a probability",
                handler: list
            ).query("project_ids", Shape.list(of: Shape.identifier, atMost: 100))
                .query(
                    "similarity_threshold",
                    Shape.number(0...1, "The least probability; 0.5.")
                )
                .query("status", Self.status)
                .query(
                    "resolution",
                    Shape.choice(
                        ["unresolved", "resolved", "all"],
                        "By whether somebody has decided about them; unresolved."
                    )
                )
                .query(
                    "limit_per_issue",
                    Shape.integer(1...20, "Only among so many best of either issue; all.")
                )
                .paged
                .answers(
                    .ok,
                    Shape.object([
                        "project_ids": Shape.list(of: Shape.identifier),
                        "model_id_used": ["type": ["integer", "null"]],
                        "threshold_used": Shape.number,
                        "duplicates": Shape.list(of: Self.pairShape),
                    ])
                ).problems(.notFound),
            .on(
                .get,
                "\(Self.path)/check",
                view,
                tag: Self.tag,
                "What is known about two issues",
                handler: check
            ).query("issue1_id", Shape.identifier).query("issue2_id", Shape.identifier)
                .answers(
                    .ok,
                    Shape.object([
                        "issue1": IssueShapes.summary, "issue2": IssueShapes.summary,
                        "similarity": ["type": ["number", "null"]],
                        "features": ["type": ["object", "null"]],
                        "decision": Shape.optionalText,
                    ])
                ).tagged.problems(.notFound),
            .on(
                .get,
                "\(Self.path)/confirmed",
                view,
                tag: Self.tag,
                "What was decided, latest first",
                handler: decided
            ).query("verdict", Self.verdict).paged
                .answers(
                    .ok,
                    Shape.list(
                        of: Shape.object([
                            "issue1": IssueShapes.summary, "issue2": IssueShapes.summary,
                            "decision": Self.verdict, "decided_by": Shape.optionalText,
                            "decided_at": Shape.instant,
                        ])
                    )
                ),
            .on(
                .post,
                "\(Self.path)/decisions",
                review,
                tag: Self.tag,
                "Say whether two issues are duplicates",
                handler: decide
            ).body(
                Shape.object([
                    "issue1_id": Shape.identifier, "issue2_id": Shape.identifier,
                    "decision": Self.verdict,
                ])
            ).answers(
                .created,
                Shape.object([
                    "issue1_id": Shape.identifier, "issue2_id": Shape.identifier,
                    "decision": Self.verdict,
                ])
            ).tagged.guarded.problems(.notFound),
            .on(
                .get,
                "/api/v1/project-duplicate-stats",
                view,
                tag: Self.tag,
                "Per project how many issues are in an undecided pair",
                handler: statistics
            ).query("project_ids", Shape.list(of: Shape.identifier, atMost: 100))
                .query(
                    "similarity_threshold",
                    Shape.number(0...1, "The least probability; 0.5.")
                )
                .query("status", Self.status).paged
                .answers(
                    .ok,
                    Shape.list(
                        of: Shape.object([
                            "project_id": Shape.identifier, "project": Shape.text,
                            "total": Shape.count, "duplicates": Shape.count,
                        ])
                    )
                ).problems(.notFound),
        ]
    }

    private func listing(_ request: APIRequest) -> DuplicateTable.Listing {
        var listing = DuplicateTable.Listing()
        listing.minimumScore = request.arguments["similarity_threshold"]?.double ?? 0.5
        listing.projects = IssueRestriction.projects("project_ids", request.arguments)
        switch request.arguments["status"]?.string {
        case "open", "opened": listing.state = .open
        case "closed": listing.state = .closed
        default: listing.state = nil
        }
        switch request.arguments["resolution"]?.string {
        case "resolved": listing.resolution = .decided
        case "all": listing.resolution = .any
        default: listing.resolution = .undecided
        }
        listing.pairsPerIssue =
            request.arguments["limit_per_issue"]?.integer.flatMap(Int.init(exactly:))
        return listing
    }

    @Sendable private func list(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        var listing = listing(request)
        listing.offset = try page.start(atMost: Self.furthestPair)
        listing.limit = page.limit + 1
        let store = store.viewed(by: try request.user().account)
        let projects = listing.projects
        let model = try await store.read { connection, account in
            try IssueRestriction.check(projects, account, connection)
            return try EmbeddingModelTable.all(account: account, on: connection)
                .first(where: \.isCurrent)
        }
        let found = try await Duplicates.list(listing, in: store)
        let pairs = found.prefix(page.limit).map { pair -> JSONValue in
            [
                "issue1": IssueShapes.json(pair.first), "issue2": IssueShapes.json(pair.second),
                "similarity": IssueShapes.rounded(pair.score), "features": pair.features,
                "resolution": JSONValue(pair.verdict?.rawValue),
            ]
        }
        let next = found.count > page.limit ? String(listing.offset + page.limit) : nil
        let answer: JSONValue = [
            "project_ids": .array(listing.projects.map { .integer($0.rawValue) }),
            "model_id_used": model.map { JSONValue.integer($0.id.rawValue) } ?? .null,
            "threshold_used": .double(listing.minimumScore), "duplicates": .array(pairs),
        ]
        return .json(answer, headers: page.headers(next: next, to: request))
    }

    /// The two issues of a request; a 404 when one is not there.
    private func pair(
        _ source: JSONObject,
        _ store: Store
    ) async throws -> (one: IssueSummary, other: IssueSummary) {
        let ids = try ["issue1_id", "issue2_id"].map { name in
            guard let id = source[name]?.integer else { throw Problem.invalid(name, "is missing") }
            return IssueID(id)
        }
        guard ids[0] != ids[1] else {
            throw Problem.invalid("issue2_id", "must be another issue than `issue1_id`")
        }
        let found = try await store.read { connection, account in
            try PassageTable.summaries(of: ids, account: account, on: connection)
        }
        guard let one = found.first(where: { $0.issue == ids[0] }),
            let other = found.first(where: { $0.issue == ids[1] })
        else { throw Problem.notFound() }
        return (one, other)
    }

    @Sendable private func check(_ request: APIRequest) async throws -> APIResponse {
        let store = store.viewed(by: try request.user().account)
        let (one, other) = try await pair(request.arguments, store)
        guard let pair = DuplicateTable.Pair(one.issue, other.issue) else {
            throw Problem.notFound()
        }
        let (scored, verdict) = try await store.read { connection, account in
            (
                try DuplicateTable.score(of: pair, account: account, on: connection),
                try DuplicateTable.verdict(on: pair, account: account, on: connection)
            )
        }
        return Versioned.answer(
            [
                "issue1": IssueShapes.json(one), "issue2": IssueShapes.json(other),
                "similarity": scored.map { IssueShapes.rounded($0.score) } ?? .null,
                "features": scored?.features ?? .null, "decision": JSONValue(verdict?.rawValue),
            ],
            version: Self.version(of: pair, verdict),
            to: request
        )
    }

    /// What people decide of a pair, in whichever order its issues are named; the rest changes by
    /// itself.
    private static func version(
        of pair: DuplicateTable.Pair,
        _ verdict: DuplicateTable.Verdict?
    ) -> JSONValue {
        [
            "issue1_id": .integer(pair.first.rawValue),
            "issue2_id": .integer(pair.second.rawValue),
            "decision": JSONValue(verdict?.rawValue),
        ]
    }

    @Sendable private func decided(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let offset = try page.start(atMost: Self.furthestPair)
        let word = request.arguments["verdict"]?.string ?? ""
        let verdict = DuplicateTable.Verdict(rawValue: word) ?? .duplicate
        let store = store.viewed(by: try request.user().account)
        let (rows, summaries) = try await store.read { connection, account in
            let rows = try DuplicateTable.decided(
                verdict,
                limit: page.limit + 1,
                offset: offset,
                account: account,
                on: connection
            )
            let issues = Set(rows.flatMap { [$0.pair.first, $0.pair.second] }).sorted()
            return (rows, try PassageTable.summaries(of: issues, account: account, on: connection))
        }
        let items = rows.prefix(page.limit).compactMap { row -> JSONValue? in
            // An issue that was deleted since is shown no more.
            guard let one = summaries.first(where: { $0.issue == row.pair.first }),
                let other = summaries.first(where: { $0.issue == row.pair.second })
            else { return nil }
            return [
                "issue1": IssueShapes.json(one), "issue2": IssueShapes.json(other),
                "decision": .string(row.verdict.rawValue), "decided_by": JSONValue(row.person),
                "decided_at": .string(row.decidedAt.iso8601),
            ]
        }
        let next = rows.count > page.limit ? String(offset + page.limit) : nil
        return page.answer(items, next: next, to: request)
    }

    @Sendable private func decide(_ request: APIRequest) async throws -> APIResponse {
        let principal = try request.user()
        let store = store.viewed(by: principal.account)
        let (one, other) = try await pair(request.content, store)
        let word = request.content["decision"]?.string ?? ""
        guard let verdict = DuplicateTable.Verdict(rawValue: word) else {
            throw Problem.invalid("decision", "must be a verdict")
        }
        guard let pair = DuplicateTable.Pair(one.issue, other.issue) else {
            throw Problem.notFound()
        }
        try await Duplicates.decide(one, other, verdict, by: principal.name, in: store) { before in
            // Of two reviewers who have seen the same the second is told of the first one's word.
            try Versioned.check(request, against: Self.version(of: pair, before))
        }
        return Versioned.answer(
            .object(request.content),
            version: Self.version(of: pair, verdict),
            to: request,
            status: .created
        )
    }

    @Sendable private func statistics(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let listing = listing(request)
        let wanted = Set(listing.projects)
        let store = store.viewed(by: try request.user().account)
        let (projects, counts, involved) = try await store.read { connection, account in
            try IssueRestriction.check(listing.projects, account, connection)
            return (
                try ProjectTable.list(account: account, on: connection),
                try ProjectCounts.all(account: account, on: connection),
                try DuplicateTable.involved(listing, account: account, on: connection)
            )
        }
        let slice = try page.slice(
            of: projects.filter { wanted.isEmpty || wanted.contains($0.id) }
        )
        let items = slice.items.map { project -> JSONValue in
            [
                "project_id": .integer(project.id.rawValue), "project": .string(project.path),
                "total": .integer(Int64(counts[project.id]?.issues ?? 0)),
                "duplicates": .integer(Int64(involved[project.id] ?? 0)),
            ]
        }
        return page.answer(items, next: slice.next, to: request)
    }
}
