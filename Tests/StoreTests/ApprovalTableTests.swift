import Domain
import Store
import StoreTestSupport
import Testing

struct ApprovalTableTests {
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)

    private func request(
        _ id: String,
        digest: UInt8 = 1,
        at instant: Timestamp = start
    ) -> ApprovalTable.Request {
        var request = ApprovalTable.Request(
            id: id,
            kind: .call,
            tool: "github/delete_branch",
            requester: "user:ann",
            channel: "mcp",
            digest: [UInt8](repeating: digest, count: 32),
            sealedCall: SealedSecret(bytes: [1, 0, 255]),
            requestedAt: instant
        )
        request.identity = "github/delete_branch"
        request.credential = "key:7"
        request.workflow = "leads"
        request.terms = ["name": "leads"]
        request.justification = "it is merged"
        request.policyVersion = 3
        request.shown = ["branch": "main"]
        return request
    }

    private func life(_ status: String = "pending") -> ApprovalTable.Life {
        ApprovalTable.Life(status: status, expiresAt: Self.start.advanced(by: .seconds(300)))
    }

    private func approved() -> ApprovalTable.Life {
        var life = life("approved")
        life.resolvedAt = Self.start.advanced(by: .seconds(5))
        life.resolvedBy = "user:bob"
        life.resolution = "fine"
        life.votes = [["approver": "user:bob"]]
        return life
    }

    @Test(arguments: Engine.all)
    func `a request is read as it was written, and changes only as it was seen`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let (made, open, decided) = (request("a"), life(), approved())
        let row = try await scratch.store.write { connection, account in
            try ApprovalTable.insert(made, open, account: account, on: connection)
            return try ApprovalTable.find("a", account: account, on: connection)
        }
        let seen = try #require(row)
        #expect(seen.request == made && seen.life == open && seen.execution == .none)
        let results = try await scratch.store.write { connection, account in
            let first = try ApprovalTable.update(
                seen,
                to: decided,
                account: account,
                on: connection
            )
            // What was seen before is over.
            let second = try ApprovalTable.update(
                seen,
                to: open,
                account: account,
                on: connection
            )
            return [first, second]
        }
        #expect(results == [true, false])
        let after = try await scratch.store.read { connection, account in
            try ApprovalTable.find("a", account: account, on: connection)
        }
        #expect(after?.life == decided && after?.version == 1)
    }

    @Test(arguments: Engine.all)
    func `a run is claimed once, and only what was approved lately`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let (pending, yes, open, decided) = (request("a"), request("b"), life(), approved())
        try await scratch.store.write { connection, account in
            try ApprovalTable.insert(pending, open, account: account, on: connection)
            try ApprovalTable.insert(yes, open, account: account, on: connection)
            let row = try ApprovalTable.find("b", locked: true, account: account, on: connection)
            if let row {
                _ = try ApprovalTable.update(row, to: decided, account: account, on: connection)
            }
        }
        func claim(_ id: String, since seconds: Int) async throws -> Bool {
            try await scratch.store.write { connection, account in
                try ApprovalTable.claim(
                    id,
                    by: "me",
                    at: Self.start.advanced(by: .seconds(6)),
                    approvedSince: Self.start.advanced(by: .seconds(seconds)),
                    account: account,
                    on: connection
                )
            }
        }
        #expect(try await claim("a", since: 0) == false)
        #expect(try await claim("b", since: 5) == false)
        // A row that nothing tells of is no approval.
        #expect(try await claim("b", since: 4) == false)
        try await scratch.store.write { connection, account in
            let event = ApprovalEventTable.Event("approved", at: Self.start)
            try ApprovalEventTable.append(event, to: "b", account: account, on: connection)
        }
        #expect(try await claim("b", since: 4))
        #expect(try await claim("b", since: 4) == false)
        let row = try await scratch.store.write { connection, account in
            try ApprovalTable.complete(
                "b",
                SealedSecret(bytes: [9]),
                at: Self.start.advanced(by: .seconds(7)),
                account: account,
                on: connection
            )
            return try ApprovalTable.find("b", account: account, on: connection)
        }
        #expect(row?.execution == .done && row?.sealedResult?.bytes == [9])
        #expect(row?.claimedBy == "me")
    }

    @Test(arguments: Engine.all)
    func `an approval that is given up is neither claimed nor remembered`(
        _ engine: Engine
    ) async throws {
        let scratch = try await filled(engine)
        let results = try await scratch.store.write { connection, account in
            let pending = try ApprovalTable.relinquish("a", account: account, on: connection)
            let given = try ApprovalTable.relinquish("b", account: account, on: connection)
            let again = try ApprovalTable.relinquish("b", account: account, on: connection)
            return [pending, given, again]
        }
        #expect(results == [false, true, false])
        let row = try await scratch.store.read { connection, account in
            try ApprovalTable.find("b", account: account, on: connection)
        }
        #expect(row?.execution == .cancelled && row?.life.rememberedUntil == nil)
    }

    /// Requests `a` and `b` about one call and `c` about another; `b` is approved and remembered
    /// for 100 seconds.
    private func filled(_ engine: Engine) async throws -> ScratchStore {
        let scratch = try await engine.store()
        let made = ["a", "b", "c"].map { request($0, digest: $0 == "c" ? 2 : 1) }
        let (open, decided) = (life(), approved())
        try await scratch.store.write { connection, account in
            for request in made {
                try ApprovalTable.insert(request, open, account: account, on: connection)
            }
            guard let row = try ApprovalTable.find("b", account: account, on: connection) else {
                return
            }
            var life = decided
            life.rememberedUntil = Self.start.advanced(by: .seconds(100))
            _ = try ApprovalTable.update(row, to: life, account: account, on: connection)
            let event = ApprovalEventTable.Event("approved", at: Self.start)
            try ApprovalEventTable.append(event, to: "b", account: account, on: connection)
        }
        return scratch
    }

    @Test(arguments: Engine.all)
    func `requests are found by status and by time`(_ engine: Engine) async throws {
        let scratch = try await filled(engine)
        let found = try await scratch.store.read { connection, account in
            (
                pending: try ApprovalTable.list(
                    status: "pending",
                    limit: 10,
                    account: account,
                    on: connection
                ).map(\.request.id),
                page: try ApprovalTable.list(
                    status: nil,
                    before: "c",
                    limit: 1,
                    account: account,
                    on: connection
                ).map(\.request.id),
                counts: try [299, 300].map { seconds in
                    try ApprovalTable.pendingCount(
                        at: Self.start.advanced(by: .seconds(seconds)),
                        account: account,
                        on: connection
                    )
                },
                resolved: try ApprovalTable.resolved(
                    since: Self.start,
                    limit: 10,
                    account: account,
                    on: connection
                )
            )
        }
        #expect(found.pending == ["c", "a"] && found.page == ["b"])
        // Those whose time is over wait no more, though nobody has noticed.
        #expect(found.counts == [2, 0])
        #expect(found.resolved == ["b"])
    }

    @Test(arguments: Engine.all)
    func `requests are found by the call and the workflow they are about`(
        _ engine: Engine
    ) async throws {
        let scratch = try await filled(engine)
        let digest = request("a", digest: 1).digest
        let askers = [("user:ann", "leads"), ("user:eve", "leads"), ("user:ann", "strict")]
        let instants = [("leads", 99), ("leads", 100), ("strict", 99)]
        let found = try await scratch.store.read { connection, account in
            (
                open: try askers.map { requester, workflow in
                    try ApprovalTable.open(
                        digest: digest,
                        requester: requester,
                        workflow: workflow,
                        approvedSince: Self.start,
                        account: account,
                        on: connection
                    )?.request.id
                },
                remembered: try instants.map { workflow, seconds in
                    try ApprovalTable.remembered(
                        digest: digest,
                        workflow: workflow,
                        at: Self.start.advanced(by: .seconds(seconds)),
                        limit: 2,
                        account: account,
                        on: connection
                    ).first?.request.id
                }
            )
        }
        #expect(found.open == ["b", nil, nil])
        #expect(found.remembered == ["b", nil, nil])
    }

    @Test(arguments: Engine.all)
    func `what is remembered is listed as long as it is, and forgotten once`(
        _ engine: Engine
    ) async throws {
        let scratch = try await filled(engine)
        func listed(at seconds: Int, before: String? = nil) async throws -> [String] {
            try await scratch.store.read { connection, account in
                try ApprovalTable.remembered(
                    at: Self.start.advanced(by: .seconds(seconds)),
                    before: before,
                    skip: 0,
                    limit: 5,
                    account: account,
                    on: connection
                ).map(\.request.id)
            }
        }
        func forget(_ id: String, at seconds: Int) async throws -> Bool {
            try await scratch.store.write { connection, account in
                try ApprovalTable.forget(
                    id,
                    at: Self.start.advanced(by: .seconds(seconds)),
                    account: account,
                    on: connection
                )
            }
        }
        #expect(try await listed(at: 99) == ["b"])
        #expect(try await listed(at: 100).isEmpty)
        #expect(try await listed(at: 99, before: "b").isEmpty)
        #expect(try await !forget("a", at: 99))
        #expect(try await !forget("b", at: 100))
        #expect(try await forget("b", at: 99))
        #expect(try await !forget("b", at: 99))
        #expect(try await listed(at: 99).isEmpty)
    }

    @Test(arguments: Engine.all)
    func `a link keeps the place of the workflow that it answers`(_ engine: Engine) async throws {
        let scratch = try await engine.store()
        let places = try await scratch.store.write { connection, account in
            try [0, 3].map { place -> Int? in
                var token = ApprovalTokenTable.Token(
                    digest: [UInt8(place)],
                    request: "a",
                    approver: "user:bob",
                    issuedAt: Self.start,
                    expiresAt: Self.start.advanced(by: .seconds(60))
                )
                token.place = place
                try ApprovalTokenTable.insert(token, account: account, on: connection)
                return try ApprovalTokenTable.find(
                    digest: token.digest,
                    account: account,
                    on: connection
                )?.place
            }
        }
        #expect(places == [0, 3])
    }

    @Test(arguments: Engine.all)
    func `links are used once and in time, events keep their order, old requests are removed`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let (made, open, decided) = (request("a"), life(), approved())
        let result = try await scratch.store.write { connection, account in
            try ApprovalTable.insert(made, open, account: account, on: connection)
            for number in 1...12 {
                try ApprovalEventTable.append(
                    .init("kind \(number)", actor: nil, detail: nil, at: Self.start),
                    to: "a",
                    account: account,
                    on: connection
                )
            }
            for byte in [1, 2] as [UInt8] {
                try ApprovalTokenTable.insert(
                    .init(
                        digest: [byte],
                        request: "a",
                        approver: "user:bob",
                        issuedAt: Self.start,
                        expiresAt: Self.start.advanced(by: .seconds(60))
                    ),
                    account: account,
                    on: connection
                )
            }
            func use(_ byte: UInt8, _ seconds: Int) throws -> Bool {
                try ApprovalTokenTable.use(
                    digest: [byte],
                    at: Self.start.advanced(by: .seconds(seconds)),
                    account: account,
                    on: connection
                )
            }
            let uses = [try use(1, 1), try use(1, 2), try use(2, 60), try use(3, 1)]
            let kinds = try ApprovalEventTable.list(of: "a", account: account, on: connection)
                .map(\.kind)
            func prune() throws -> Int {
                try ApprovalTable.prune(
                    before: Self.start.advanced(by: .seconds(1)),
                    limit: 10,
                    account: account,
                    on: connection
                )
            }
            let whilePending = try prune()
            if let row = try ApprovalTable.find("a", account: account, on: connection) {
                _ = try ApprovalTable.update(row, to: decided, account: account, on: connection)
            }
            let after = try prune()
            let left = try ApprovalTokenTable.find(digest: [1], account: account, on: connection)
            return (uses, kinds, whilePending, after, left)
        }
        #expect(result.0 == [true, false, false, false])
        #expect(result.1 == (1...12).map { "kind \($0)" })
        #expect(result.2 == 0 && result.3 == 1 && result.4 == nil)
    }
}
