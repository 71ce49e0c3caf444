import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// What passes between a client and another server while a call runs.
@Suite struct CallPassageTests {
    private final class Client: Sendable {
        let events = Mutex<[GuardedCall.Event]>([])
        let questions = Mutex<[JSONObject]>([])
        let answer: JSONObject

        init(answer: JSONObject = JSONObject()) { self.answer = answer }

        /// The texts of all messages and progress.
        var texts: [String] {
            events.withLock { events in
                events.map { event in
                    switch event {
                    case .progress(let progress): progress.message ?? "-"
                    case .message(_, let parameters): parameters["data"]?.string ?? "-"
                    case .log(_, let text): text
                    }
                }
            }
        }
    }

    private func rule(
        _ side: RedactionPolicy.Side,
        _ action: RedactionPolicy.Action
    ) -> RedactionPolicy.Rule {
        RedactionPolicy.Rule(id: "no-mail", side: side, kinds: [.email], action: action)
    }

    private func passage(
        _ rules: [RedactionPolicy.Rule],
        to client: Client,
        server: String? = "up"
    ) throws -> CallPassage {
        var request = GuardedCall.Request(tool: "write", arguments: JSONObject())
        request.extras.ask = { _, parameters in
            client.questions.withLock { $0.append(parameters) }
            return .success(client.answer)
        }
        return CallPassage(
            of: ToolIdentity(server: server, name: "write"),
            CallSource(request, by: caller),
            SensitiveValues(redactor: try AuditKeys.testing(AccountID(1)).redactor) {
                RedactionPolicy(rules: rules)
            },
            { event in client.events.withLock { $0.append(event) } }
        )
    }

    private func tell(_ text: String, by passage: CallPassage) async {
        await passage.report(.message(.info, JSONObject([("data", .string(text))])))
        await passage.report(.progress(ServerSession.Progress(done: 1, message: text)))
    }

    /// A server had only to write the secret into a message instead of its answer.
    @Test func `messages and progress are kept from the client as answers are`() async throws {
        let client = Client()
        let passage = try self.passage([rule(.result, .deny)], to: client)
        await tell("ann@example.org", by: passage)
        await tell("fine", by: passage)
        // Of progress the numbers are left.
        #expect(client.texts == ["-", "fine", "fine"])
        let note = passage.noted(with: "first") ?? ""
        #expect(note.hasPrefix("first; a message withheld: it contains email (no-mail)"))
        #expect(!note.contains("example.org"))
    }

    @Test func `what is to be redacted has marks, and our own tools are left alone`() async throws {
        let client = Client()
        let passage = try self.passage([rule(.result, .redact)], to: client)
        await tell("to ann@example.org", by: passage)
        #expect(client.texts.allSatisfy { $0.contains("[redacted:email") })
        let own = Client()
        let ours = try self.passage([rule(.result, .deny)], to: own, server: nil)
        await tell("ann@example.org", by: ours)
        #expect(own.texts == ["ann@example.org", "ann@example.org"])
    }

    @Test func `a question that must not reach the client is not asked`() async throws {
        let client = Client()
        let passage = try self.passage([rule(.result, .deny)], to: client)
        let question = JSONObject([("message", "is it ann@example.org?")])
        let outcome = await passage.extras.ask?("elicitation/create", question)
        guard case .failure? = outcome else {
            Issue.record("it was asked")
            return
        }
        #expect(client.questions.withLock { $0.isEmpty })
        #expect(passage.noted(with: nil)?.contains("which was not handed on") == true)
    }

    /// Answers went to the server unseen by the rules for arguments.
    @Test func `an answer that must not reach the server is withheld, and both are on record`()
        async throws
    {
        let client = Client(answer: JSONObject([("content", ["mail": "ann@example.org"])]))
        let question = JSONObject([("message", "who?")])
        let denied = try passage([rule(.arguments, .deny)], to: client)
        guard case .failure? = await denied.extras.ask?("elicitation/create", question) else {
            Issue.record("it was told")
            return
        }
        let open = try passage([], to: client)
        let answered = await open.extras.ask?("elicitation/create", question)
        #expect(try answered?.get() == client.answer)
        for passage in [denied, open] {
            let note = passage.noted(with: nil) ?? ""
            #expect(note.contains(/asked elicitation\/create [0-9a-f]{24}, answered [0-9a-f]{24}/))
            #expect(!note.contains("example.org") && !note.contains("who?"))
        }
    }

    @Test func `notes are bounded`() async throws {
        let client = Client()
        let passage = try self.passage([], to: client)
        for number in 0..<100 {
            _ = await passage.extras.ask?(
                "sampling/createMessage",
                JSONObject([("number", .integer(Int64(number)))])
            )
        }
        let note = passage.noted(with: nil) ?? ""
        #expect(note.utf8.count < 4_096 && note.hasSuffix("and 84 more"))
    }

    /// The whole way: what the server sends beside its answer.
    @Test func `a call's messages are looked through, and its record says so`() async throws {
        let world = try await ProxiedWorld()
        world.upstream.state.withLock { state in
            state.asides = ["ann@example.org", "fine"].map { text in
                [
                    "jsonrpc": "2.0", "method": "notifications/message",
                    "params": ["level": "info", "data": .string(text)],
                ]
            }
        }
        let store = world.scratch.store
        let keys = try AuditKeys.testing(store.account)
        let rules = [rule(.result, .deny)]
        let calls = GuardedCall(
            tools: ToolSet([FakeTool(name: "search")], source: world.desk),
            policy: FakePolicy(),
            journal: StoreJournal(store: store, keys: keys),
            sensitive: SensitiveValues(redactor: keys.redactor) { RedactionPolicy(rules: rules) }
        )
        let client = Client()
        let result = try await calls.run(
            .init(tool: "write", arguments: JSONObject([("text", "hi")])),
            by: caller
        ) { event in client.events.withLock { $0.append(event) } }
        #expect(!result.isError, "\(result.text)")
        #expect(client.texts == ["fine"])
        let reason = try await world.records().first?.reason
        #expect(reason?.contains("a message withheld: it contains email (no-mail)") == true)
    }
}
