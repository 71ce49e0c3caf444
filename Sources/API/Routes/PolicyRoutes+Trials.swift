import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// Policies tried out: on the calls on record, on cases, and put into their standard form.
extension PolicyRoutes {
    /// Of calls on record that one request decides again: what a page of the audit takes, a
    /// hundred times, and less than a second.
    private static let maximumCalls = 10_000
    /// Of a policy and of a file of cases; a policy has 1 MiB at most.
    private static let maximumText = 1 << 20

    private static let recordedShape = Shape.object([
        "total": Shape.count,
        "changes": Shape.list(
            of: Shape.object([
                "tool": Shape.text, "before": Shape.text, "after": Shape.text,
                "count": Shape.count,
            ])
        ),
        "undecided": Shape.count, "undecided_by": Shape.list(of: ["type": "object"]),
        "undecided_by_sensitive_data": Shape.list(of: Shape.text),
        "undecided_for": Shape.list(
            of: Shape.object(["reason": Shape.text, "count": Shape.count])
        ),
        "unknown_tools": Shape.count,
    ])

    /// The routes.
    ///
    /// What tells of differences from the policy, and of calls of others, takes the permission to
    /// change it; what only reads the texts that are sent takes that to see it.
    var trying: [Route] { replaying + checking }

    private var replaying: [Route] {
        let manage = Route.Access.permission(.managePolicies)
        let calls = Shape.integer(0...Self.maximumCalls, "How many of the latest calls; 1000.")
        return [
            .on(
                .post,
                "\(Self.path)/plan",
                manage,
                tag: Self.tag,
                "What applying a policy would change, also for the calls on record",
                handler: plan
            ).query("prune", Shape.flag).query("calls", calls).takesAnyBody.answers(
                .ok,
                Shape.object([
                    "base_version": Shape.count, "has_changes": Shape.flag,
                    "changes": Shape.list(of: Self.changeShape),
                    "warnings": Shape.list(of: Self.problemShape), "calls": Self.recordedShape,
                ])
            ).tagged.problems(.unprocessableContent),
            .on(
                .post,
                "\(Self.path)/replay",
                manage,
                tag: Self.tag,
                "Decide the calls on record again, by the policy in force or the one that is sent",
                handler: replay
            ).query("calls", calls).takesAnyBody.answers(.ok, Self.recordedShape)
                .problems(.notFound, .unprocessableContent),
        ]
    }

    private var checking: [Route] {
        let view = Route.Access.permission(.viewPolicies)
        let text = Shape.text(Self.maximumText, minimum: 1)
        return [
            .on(
                .post,
                "\(Self.path)/test",
                view,
                tag: Self.tag,
                "Ask a policy about the calls of a file of cases",
                handler: test
            ).body(Shape.object(["policy": text, "tests": text])).answers(
                .ok,
                Shape.object([
                    "passed": Shape.count, "failed": Shape.count,
                    "tests": Shape.list(
                        of: Shape.object([
                            "name": Shape.text, "passed": Shape.flag,
                            "differences": Shape.list(of: Shape.text), "action": Shape.text,
                        ])
                    ),
                ])
            ).problems(.unprocessableContent),
            .on(
                .post,
                "\(Self.path)/fmt",
                view,
                tag: Self.tag,
                "A policy in its standard form, without comments",
                handler: format
            ).takesAnyBody.answers(
                .ok,
                Shape.object(["policy": Shape.text, "is_formatted": Shape.flag])
            ).problems(.unprocessableContent),
        ]
    }

    // MARK: - Handlers

    @Sendable private func plan(_ request: APIRequest) async throws -> APIResponse {
        let calls = try await books.calls(try request.user().account)
        let plan = try await PolicyShelf.book(of: calls).plan(
            try PolicyUpload.text(of: request),
            prunes: request.arguments["prune"]?.bool ?? false,
            calls: calls,
            limit: Self.limit(request)
        )
        return .json(
            [
                "base_version": .integer(plan.proposal.base),
                "has_changes": .bool(plan.proposal.isChange),
                "changes": .array(plan.proposal.changes.map(\.json)),
                "warnings": .array(plan.proposal.warnings.map(\.json)), "calls": plan.calls.json,
            ],
            headers: [.eTag: PolicyShelf.tag(of: plan.proposal.base)]
        )
    }

    @Sendable private func replay(_ request: APIRequest) async throws -> APIResponse {
        let calls = try await books.calls(try request.user().account)
        let replay = try await PolicyShelf.book(of: calls).replay(
            try PolicyUpload.textIfAny(of: request),
            calls: calls,
            limit: Self.limit(request)
        )
        return .json(replay.json)
    }

    private static func limit(_ request: APIRequest) -> Int {
        request.arguments["calls"]?.integer.flatMap(Int.init(exactly:))
            ?? RecordedCalls.standardCount
    }

    @Sendable private func test(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let document = try await Self.document(request.content["policy"]?.string ?? "", book)
        let (suite, problems) = PolicyTestSuite.read(
            request.content["tests"]?.string ?? "",
            now: book.store.clock.now()
        )
        guard let suite else {
            throw Problem.invalid(problems.map { Problem.Field("tests", $0.description) })
        }
        let outcomes = suite.run(try await book.compiled(document, version: 0))
        let failed = outcomes.filter { !$0.differences.isEmpty }
        return .json([
            "passed": .integer(Int64(outcomes.count - failed.count)),
            "failed": .integer(Int64(failed.count)),
            "tests": .array(outcomes.map(\.json)),
        ])
    }

    @Sendable private func format(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let text = try PolicyUpload.text(of: request)
        let formatted = try await Self.document(text, book).text
        return .json([
            "policy": .string(formatted), "is_formatted": .bool(haveEqualBytes(formatted, text)),
        ])
    }

    /// The policy that a text is.
    private static func document(
        _ text: String,
        _ book: PolicyBook
    ) async throws -> PolicyDocument {
        let reading = try await book.validate(text)
        guard let document = reading.document else { throw PolicyError.invalid(reading.problems) }
        return document
    }
}
