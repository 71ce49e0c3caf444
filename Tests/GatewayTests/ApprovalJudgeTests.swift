import Domain
import Firewall
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Calls that a model decides about.
@Suite struct ApprovalJudgeTests {
    private let bob = Approver(.user, "bob")

    private static func answer(_ text: String) -> JSONValue {
        ["choices": [["message": ["content": .string(text)]]]]
    }

    private func world(
        _ answers: [String],
        status: Int = 200,
        fallback: ApprovalWorkflow.Fallback = .escalate,
        context: JSONObject = JSONObject()
    ) async throws -> (world: ApprovalWorld, service: Answers) {
        let service = Answers(answers.map(Self.answer), status: status)
        var setup = ApprovalWorld.Setup()
        setup.model = LanguageModel(
            .init(provider: .openai, url: "http://ai", model: "m"),
            transport: service
        )
        let world = try await ApprovalWorld(
            {
                $0.judge = ApprovalWorkflow.Judge(threshold: 0.8, fallback: fallback)
                $0.judge?.context = context
            },
            pacing: HastyClock(),
            setup: setup
        )
        return (world, service)
    }

    private static let yes = #"{"approve":true,"confidence":0.9,"reason":"harmless"}"#
    private static let no = #"{"approve":false,"confidence":0.95,"reason":"it deletes"}"#
    private static let perhaps = #"{"approve":true,"confidence":0.5,"reason":"hm"}"#

    @Test func `a model that is sure decides`() async throws {
        let approving = try await world([Self.yes])
        #expect(try await approving.world.call().structured == ["said": "hi"])
        let declining = try await world([Self.no])
        let result = try await declining.world.call()
        #expect(result.isError && result.text.contains("it deletes"))
        #expect(declining.world.runs.all.isEmpty)
    }

    @Test(arguments: [perhaps, "no json at all", #"{"approve":"yes","confidence":1}"#, "{}"])
    func `a model that is unsure, or says nothing usable, leaves it to people`(
        _ text: String
    ) async throws {
        let (world, service) = try await world([text])
        let id = try await world.handle()
        #expect(try await world.desk.events(of: id).map(\.kind).contains("model_unsure"))
        // Equal calls join the request; the model is not asked until it says yes.
        #expect(try await world.handle() == id)
        #expect(try await world.handle() == id)
        #expect(service.requests.withLock { $0.count } == 1)
        #expect(world.runs.all.isEmpty)
        try await world.desk.decide(id, by: bob, .init(.approve))
        #expect(try await world.poll(id).structured?["tool_result"] == ["said": "hi"])
    }

    @Test func `where the model is unsure, its fallback decides`() async throws {
        let declining = try await world([Self.perhaps], fallback: .deny)
        #expect(try await declining.world.call().isError)
        let approving = try await world([Self.perhaps], fallback: .approve)
        #expect(try await approving.world.call().structured == ["said": "hi"])
        let broken = try await world([""], status: 500, fallback: .deny)
        #expect(try await broken.world.call().isError)
    }

    /// A call is hidden behind its beginning when a model sees only that.
    @Test func `a model is not asked about a call that it would not see as a whole`()
        async throws
    {
        let (world, service) = try await world([Self.yes], fallback: .approve)
        let id = try await world.handle(String(repeating: "harmless ", count: 4_000))
        #expect(service.requests.withLock { $0.isEmpty })
        #expect(try await world.desk.find(id).status == .pending)
        #expect(world.runs.all.isEmpty)
    }

    /// It was kept and reached nobody.
    @Test func `a model reads what the operator says besides the guidelines`() async throws {
        for (context, isTold) in [(object(["team": "core"]), true), (JSONObject(), false)] {
            let (world, service) = try await world([Self.yes], context: context)
            _ = try await world.call()
            let body = try #require(service.requests.withLock { $0.first?.body })
            let instructions = try JSONParser.parse(body)["messages"]?[0]?["content"]?.string ?? ""
            let words = "\nThe operator says besides: {\"team\":\"core\"}\nAnswer only"
            #expect(instructions.contains(words) == isTold, "\(instructions)")
            #expect(instructions.contains("The operator says besides") == isTold)
            #expect(instructions.contains("easily undone.\n"))
        }
    }

    @Test func `a model sees no secrets`() async throws {
        let (world, service) = try await world([Self.yes])
        let token = "ghp_" + String(repeating: "a1B2", count: 9)
        _ = try await world.call("with \(token) for ann@example.org")
        let body = service.requests.withLock { $0.first?.body }
        let sent = String(decoding: try #require(body), as: UTF8.self)
        #expect(!sent.contains(token) && sent.contains("[redacted:github_token:"))
        // Whom a call reaches, whoever decides has to see.
        #expect(sent.contains("ann@example.org"))
    }
}
