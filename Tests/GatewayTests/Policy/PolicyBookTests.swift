import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

struct PolicyBookTests {
    private static let deny = """
        metadata: {name: one}
        tools: [{name: fake, conditions: [{action: deny, message: not now}]}]
        """
    private static let some = """
        # who may what
        metadata: {name: two}
        tools:
        - name: fake
          conditions: [{expression: args.text == 'bad', action: deny, message: bad words}]
        """

    private func intent(_ prunes: Bool = true, expected: Int64? = nil) -> PolicyBook.Intent {
        PolicyBook.Intent(author: "local:ann", prunes: prunes, expected: expected)
    }

    private func guarded(
        _ book: PolicyBook,
        _ tool: FakeTool = FakeTool(),
        _ journal: FakeJournal = FakeJournal()
    ) -> GuardedCall {
        GuardedCall(
            tools: ToolSet([tool, FakeTool(name: "other")]),
            policy: book,
            journal: journal
        )
    }

    private func text(_ text: String) -> JSONObject {
        var object = JSONObject()
        object["text"] = .string(text)
        return object
    }

    private func request(_ text: String) -> GuardedCall.Request {
        GuardedCall.Request(tool: "fake", arguments: self.text(text))
    }

    @Test(arguments: Engine.all)
    func `each change of the policy is in the audit`(_ engine: Engine) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let book = PolicyBook(store: store, audit: { AuditWriter(keys) })
        _ = try await book.apply(Self.deny, intent())
        // What changes nothing is no change.
        _ = try await book.apply(Self.deny, intent())
        _ = try await book.apply(Self.some, intent())
        _ = try await book.rollBack(to: 1, intent())
        let log = AuditLog(store: store, key: keys.publicKey)
        let events = try await log.events(after: 0, limit: 9).compactMap(\.event)
        #expect(events.map(\.kind) == ["change", "change", "change"])
        #expect(events.map(\.decision) == ["policy_apply", "policy_apply", "policy_rollback"])
        #expect(events.map(\.policyVersion) == [1, 2, 3])
        #expect(events.allSatisfy { $0.caller == "local:ann" })
        #expect(try await log.verify().isSound)
    }

    @Test(arguments: Engine.all)
    func `who has named a version is in the audit, with the name before`(
        _ engine: Engine
    ) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let book = PolicyBook(store: store, audit: { AuditWriter(keys) })
        var intent = intent()
        intent.tag = "first"
        _ = try await book.apply(Self.deny, intent)
        // The same name again is no change.
        for tag in ["strict", "strict", nil] { try await book.tag(1, tag, by: "user:bob") }
        await #expect(throws: PolicyError.unknownVersion(9)) {
            try await book.tag(9, "strict", by: "user:bob")
        }
        let log = AuditLog(store: store, key: keys.publicKey)
        let events = try await log.events(after: 0, limit: 9).compactMap(\.event)
        #expect(events.map(\.decision) == ["policy_apply", "policy_tag", "policy_tag"])
        #expect(events[0].reason?.hasSuffix(", tag `first`") == true)
        let named = events.dropFirst()
        #expect(
            named.map(\.reason) == [
                "tag `strict` in place of tag `first`", "no tag in place of tag `strict`",
            ]
        )
        #expect(named.allSatisfy { $0.caller == "user:bob" && $0.policyVersion == 1 })
        #expect(try await log.verify().isSound)
    }

    @Test func `a change that cannot be recorded is not made`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store, audit: { throw StoreError.busy })
        await #expect(throws: StoreError.busy) { try await book.apply(Self.deny, intent()) }
        #expect(try await book.current() == nil)
        let open = PolicyBook(store: scratch.store)
        _ = try await open.apply(Self.deny, intent())
        await #expect(throws: StoreError.busy) {
            try await book.tag(1, "strict", by: "user:bob")
        }
        #expect(try await open.version(1).version.tag == nil)
    }

    @Test func `without a policy everything is as it was`() async throws {
        let scratch = try await Engine.current.store()
        let calls = guarded(PolicyBook(store: scratch.store))
        #expect(await calls.visibleTools(to: caller).map(\.name) == ["fake", "other"])
        #expect(try await !calls.run(request("x"), by: caller).isError)
    }

    @Test func `what is applied holds at once in this process, and versions are kept`() async throws
    {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store, staleness: .seconds(3_600))
        let journal = FakeJournal()
        let calls = guarded(book, FakeTool(), journal)
        #expect(try await !calls.run(request("bad"), by: caller).isError)
        let made = try await book.apply(Self.some, intent())
        #expect(made.isNew && made.version.number == 1 && made.version.author == "local:ann")
        let refused = try await calls.run(request("bad"), by: caller)
        #expect(refused == .failure("Access denied: bad words", .denied))
        #expect(try await !calls.run(request("good"), by: caller).isError)
        // The text is kept with its comments, and the same again is no new version.
        #expect(try await book.version(1).text == Self.some)
        #expect(try await !book.apply(Self.some, intent()).isNew)
        #expect(try await book.apply(Self.deny, intent()).version.number == 2)
        #expect(await calls.visibleTools(to: caller).map(\.name) == ["other"])
        let back = try await book.rollBack(to: 1, intent())
        #expect(back.version.number == 3 && back.version.origin == "rollback")
        #expect(try await book.versions(limit: 10).map(\.number) == [3, 2, 1])
        #expect(try await book.versions(before: 3, limit: 1).map(\.number) == [2])
        try await book.tag(2, "strict", by: "local:ann")
        #expect(try await book.version(2).version.tag == "strict")
        await #expect(throws: PolicyError.unknownVersion(9)) {
            try await book.tag(9, nil, by: "local:ann")
        }
    }

    @Test(arguments: Engine.all)
    func `who listens hears of what another process changes about his list, and of nothing else`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        var limits = GuardedCall.Limits()
        limits.listInterval = .milliseconds(20)
        let calls = GuardedCall(
            tools: ToolSet([FakeTool(), FakeTool(name: "other")]),
            policy: PolicyBook(store: scratch.store, staleness: .zero),
            journal: FakeJournal(),
            limits: limits
        )
        let elsewhere = PolicyBook(store: scratch.store)
        var changes = await calls.listChanges(for: caller).makeAsyncIterator()
        // A rule on arguments hides nothing.
        _ = try await elsewhere.apply(Self.some, intent())
        while await calls.grounds.current().policy < 1 { await Task.yield() }
        _ = try await elsewhere.apply(Self.deny, intent())
        _ = await changes.next()
        #expect(await calls.visibleTools(to: caller).map(\.name) == ["other"])
        _ = try await elsewhere.rollBack(to: 1, intent())
        _ = await changes.next()
        #expect(await calls.visibleTools(to: caller).map(\.name) == ["fake", "other"])
        // Names are the same, and words are not.
        let described = "metadata: {name: one}\ntools: [{name: fake, description: Says it.}]"
        _ = try await elsewhere.apply(described, intent())
        _ = await changes.next()
        #expect(await calls.visibleTools(to: caller).first?.summary == "Says it.")
    }

    @Test func `another process sees it when the staleness is over`() async throws {
        let scratch = try await Engine.current.store()
        let here = PolicyBook(store: scratch.store, staleness: .zero)
        let there = PolicyBook(store: scratch.store)
        let calls = guarded(here)
        #expect(try await !calls.run(request("x"), by: caller).isError)
        _ = try await there.apply(Self.deny.replacing("fake", with: "f*"), intent())
        await #expect(throws: RPCError.unknownTool("fake")) {
            try await calls.run(request("x"), by: caller)
        }
    }

    @Test func `a merge keeps what the file lacks, and prune removes it`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store)
        _ = try await book.apply(Self.deny, intent(false))
        let other = "metadata: {name: three}\ntools: [{name: other, enabled: false}]"
        let proposal = try await book.propose(other, prunes: false)
        #expect(proposal.changes.map(\.path) == ["metadata.name", "tools[other]"])
        _ = try await book.apply(other, intent(false))
        let document = try #require(try await book.current()).document
        #expect(document.tools.map(\.name) == ["fake", "other"])
        // What is exported can be applied, and changes nothing.
        let text = try #require(try await book.current()).row.text
        #expect(try await !book.apply(text, intent(true)).isNew)
        #expect(try await !book.apply(text, intent(false)).isNew)
        _ = try await book.apply(other, intent(true))
        #expect(try #require(try await book.current()).document.tools.map(\.name) == ["other"])
    }

    @Test func `of two changes made for one version one holds`() async throws {
        let scratch = try await Engine.current.store()
        let results = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<6 {
                let book = PolicyBook(store: scratch.store)
                group.addTask {
                    let text = "metadata: {name: n\(number)}"
                    do {
                        return try await book.apply(text, self.intent(expected: 0)).isNew
                    } catch is PolicyError {
                        return false
                    } catch {
                        Issue.record(error)
                        return false
                    }
                }
            }
            return await group.reduce(into: [Bool]()) { $0.append($1) }
        }
        #expect(results.count { $0 } == 1)
        let book = PolicyBook(store: scratch.store)
        let stale = PolicyError.changedMeanwhile(expected: 0, current: 1)
        await #expect(throws: stale) { try await book.apply(Self.deny, intent(expected: 0)) }
        #expect(try await book.versions(limit: 9).count == 1)
    }

    @Test func `a policy with errors changes nothing`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store)
        _ = try await book.apply(Self.some, intent())
        await #expect(throws: PolicyError.self) {
            try await book.apply("metadata: {name: x}\ntols: []", intent())
        }
        #expect(try await book.versions(limit: 9).count == 1)
    }

    @Test func `a policy that cannot be used denies every call`() async throws {
        let scratch = try await Engine.current.store()
        try await scratch.store.write { connection, account in
            let version = PolicyTable.Version(
                number: 1,
                name: "broken",
                digest: [],
                author: "nobody",
                origin: "apply",
                createdAt: Timestamp(milliseconds: 0)
            )
            try PolicyTable.insert(
                PolicyTable.Row(version: version, text: "metadata: [", knownTools: []),
                account: account,
                on: connection
            )
        }
        let book = PolicyBook(store: scratch.store)
        let calls = guarded(book)
        let result = try await calls.run(request("x"), by: caller)
        #expect(result.isError && result.text.contains("cannot be used"))
        // A whole policy takes its place.
        #expect(try await book.apply(Self.some, intent()).version.number == 2)
        #expect(try await !calls.run(request("x"), by: caller).isError)
    }

    @Test func `a store that does not answer denies every call`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store, staleness: .zero)
        try await scratch.store.database.close()
        let result = try await guarded(book).run(request("x"), by: caller)
        #expect(result.isError && result.text.contains("cannot be read"))
    }

    @Test func `a credential that may only read stays so whatever the policy says`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store)
        _ = try await book.apply(
            "metadata: {name: x}\ntools: [{name: \"*\", conditions: [{action: allow}]}]",
            intent()
        )
        let reader = Caller(name: "user:bob", channel: .mcp, mayWrite: false)
        let calls = guarded(book, FakeTool(isReadOnly: false))
        #expect(await calls.visibleTools(to: reader).map(\.name) == ["other"])
    }

    @Test func `a call that runs is not touched by a policy that comes meanwhile`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store)
        let policyBook = book
        let tool = FakeTool(body: { _, _ in
            _ = try await policyBook.apply(Self.deny, .init(author: "local:ann", prunes: true))
            return ["done": true]
        })
        let calls = guarded(book, tool)
        _ = try await book.apply(Self.some, intent())
        #expect(try await calls.run(request("x"), by: caller).structured == ["done": true])
        await #expect(throws: RPCError.unknownTool("fake")) {
            try await calls.run(request("x"), by: caller)
        }
    }

    @Test func `a decision tells its rule, its version and what only logs`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store)
        _ = try await book.apply(
            """
            metadata: {name: x}
            approval_workflows: [{name: leads, is_default: true}]
            tools:
            - name: fake
              conditions:
              - {action: deny, mode: log_only, description: strict}
              - condition_type: cel
                expression: user.name == "ann" && agent.name == "claude" && args.text == "x"
                message: ask first
            """,
            intent()
        )
        let definition = FakeTool().definition
        var call = ProposedCall(
            tool: definition,
            identity: ToolIdentity(name: "fake"),
            arguments: text("x"),
            caller: caller
        )
        call.client = ClientDescription(name: "claude", version: "1")
        let ruling = await book.decide(call)
        #expect(ruling.policyVersion == 1 && ruling.rule?.index == 1)
        #expect(ruling.noted.map(\.rule.description) == ["strict"])
        guard case .requireApproval(let demand) = ruling.decision else {
            Issue.record("\(ruling)")
            return
        }
        #expect(demand.message == "ask first" && demand.policyVersion == 1)
        #expect(try await book.workflow(named: nil)?.name == "leads")
        #expect(try await book.workflow(named: "other") == nil)
    }

    @Test func `a model is told what its workflow says`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store)
        _ = try await book.apply(
            """
            metadata: {name: x}
            approval_workflows:
            - name: judged
              is_default: true
              approval_type: ai_driven
              ai_model: m
              ai_guidelines: be kind
              ai_context: {team: core}
            """,
            intent()
        )
        let judge = try await book.workflow(named: nil)?.judge
        #expect(judge?.guidelines == "be kind" && judge?.context == object(["team": "core"]))
    }

    @Test func `tools that were there are not new later`() async throws {
        let scratch = try await Engine.current.store()
        let there = Mutex([ToolIdentity(name: "fake")])
        let book = PolicyBook(store: scratch.store, tools: { there.withLock { $0 } })
        _ = try await book.apply(
            "metadata: {name: x}\ndefaults: {require_approval_for_new_tools: true}",
            intent()
        )
        let calls = guarded(book)
        #expect(try await !calls.run(request("x"), by: caller).isError)
        let other = GuardedCall.Request(tool: "other", arguments: JSONObject())
        #expect(try await calls.run(other, by: caller).text.contains("newer than the policy"))
    }

    @Test func `accounts have policies of their own`() async throws {
        let scratch = try await Engine.current.store()
        let second = AccountID(2)
        try await scratch.store.database.write { connection in
            try AccountTable.create(
                second,
                name: "second",
                createdAt: Timestamp(milliseconds: 0),
                on: connection
            )
        }
        _ = try await PolicyBook(store: scratch.store).apply(Self.deny, intent())
        let other = PolicyBook(store: scratch.store.viewed(by: second))
        #expect(try await other.current() == nil)
        #expect(try await !guarded(other).run(request("x"), by: caller).isError)
    }
}

extension PolicyBookTests {
    @Test func `the record of a call tells the rule, the version and what only logs`() async throws
    {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(store: scratch.store)
        let text = """
            metadata: {name: x}
            tools:
            - name: fake
              conditions:
              - {action: deny, mode: log_only}
              - {expression: args.text == 'bad', action: deny}
              - {action: allow}
            """
        _ = try await book.apply(text, .init(author: "local:ann", prunes: true))
        let journal = FakeJournal()
        let calls = GuardedCall(tools: ToolSet([FakeTool()]), policy: book, journal: journal)
        for word in ["bad", "good"] {
            var arguments = JSONObject()
            arguments["text"] = .string(word)
            _ = try await calls.run(.init(tool: "fake", arguments: arguments), by: caller)
        }
        let records = journal.calls.withLock { $0 }
        #expect(records.map(\.rule) == ["rule 2 of `fake`", "rule 3 of `fake`"])
        #expect(records.map(\.policyVersion) == [1, 1])
        let noted = "rule 1 of `fake` would have said deny"
        #expect(records[0].reason == "\(noted); rule 2 of `fake` denies it")
        #expect(records[1].reason == noted)
    }
}

extension PolicyBookTests {
    /// A rule with the name an agent sees was taken in silence, and so were servers that nobody
    /// had installed.
    @Test func `what a policy names and there is not is told`() async throws {
        let scratch = try await Engine.current.store()
        let book = PolicyBook(
            store: scratch.store,
            surroundings: {
                var surroundings = PolicySurroundings()
                surroundings.servers = ["time"]
                surroundings.addresses = ["time": "https://a.example/mcp"]
                return surroundings
            },
            tools: {
                [ToolIdentity(name: "search"), ToolIdentity(server: "time", name: "convert_time")]
            }
        )
        let text = """
            metadata: {name: x}
            mcp_servers:
            - {name: time, url: "https://b.example/mcp"}
            - {name: other, url: "https://c.example/mcp"}
            tools:
            - {name: time__convert_time}
            - {name: time/now}
            - {name: time/*}
            - {name: other/tool}
            - {name: "*"}
            - {name: search, source: builtin}
            """
        let reading = try await book.validate(text)
        let told = reading.warnings.map(\.message)
        #expect(told.count == 4, "\(told)")
        #expect(told[0].contains("`time` is installed with another address"))
        #expect(told[1].contains("`other` is not installed"))
        #expect(told[2].contains("`time__convert_time`"))
        #expect(told[2].contains("did you mean `time/convert_time`?"))
        #expect(told[3].contains("`time/now`"))
        // Whoever applies it hears of the servers; rules may be there before their tools.
        let applied = try await book.apply(text, .init(author: "local:ann", prunes: true))
        #expect(applied.warnings.map(\.message) == Array(told.prefix(2)))
        let right = text.replacing("b.example", with: "a.example")
        #expect(try await book.validate(right).warnings.map(\.message) == Array(told.dropFirst()))
    }
}
