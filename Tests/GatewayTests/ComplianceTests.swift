import Domain
import HTTPClient
import MCP
import Synchronization
import Testing

@testable import Gateway

struct ComplianceTests {
    private static let now = Timestamp(milliseconds: 0)

    private func findings(
        _ metric: String,
        title: String = "A title of some words",
        body: String = "",
        change: (inout Domain.Issue) -> Void = { _ in }
    ) throws -> [String: Bool] {
        var issue = Domain.Issue(
            externalID: "1",
            number: 1,
            key: "A-1",
            title: title,
            body: body,
            createdAt: Self.now,
            updatedAt: Self.now
        )
        change(&issue)
        let checker = ComplianceChecker(metric: try MetricCatalogue.standard.metric(named: metric))
        return Dictionary(
            uniqueKeysWithValues: checker.findings(on: issue).map { ($0.id, $0.passed) }
        )
    }

    @Test(arguments: [
        ("## Acceptance criteria\n- it works\n- fast", true),
        ("**Acceptance Criteria**\n\nit works", true), ("Acceptance criteria: it works", true),
        ("### acceptance criteria:\n1. it works", true), ("## Acceptance criteria\n\n", false),
        ("## Acceptance criteria\n## Next\ntext", false), ("the acceptance criteria are", false),
        ("", false),
    ])
    func `a section has a heading and text`(_ body: String, _ expected: Bool) throws {
        #expect(try findings("DoR", body: body)["acceptance"] == expected)
    }

    @Test func `each rule sees what it is about`() throws {
        #expect(try findings("DoR", title: "Bug")["title"] == false)
        #expect(try findings("DoR")["title"] == true)
        let words = Array(repeating: "word", count: 30).joined(separator: " ")
        #expect(try findings("DoR", body: words)["description"] == true)
        #expect(try findings("DoR", body: "word 1 2 3")["description"] == false)
        #expect(try findings("DoR", body: "tbd")["placeholders"] == false)
        #expect(try findings("DoR")["classified"] == false)
        #expect(try findings("DoR") { $0.labels = ["x"] }["classified"] == true)
        #expect(try findings("DoR") { $0.type = "Bug" }["classified"] == true)
        #expect(try findings("DoR") { $0.priority = "high" }["prioritized"] == true)
        #expect(try findings("Story", body: "As a user, so that")["role"] == true)
        #expect(try findings("story", body: "* a\n2) b\n- c")["criteria"] == true)
        let bug = try findings("Bug", body: IssueWorld.crashBody)
        #expect(bug.values.allSatisfy { $0 })
    }

    @Test func `without a model it says what it did not look at`() async throws {
        let world = try await IssueWorld()
        let answer = try await world.call(
            "estimate_compliance",
            ["issues": ["acme/app#1", "gone", "acme/site#1"], "compliance_metric": "bug"]
        )
        let first = try #require(answer["results"]?[0])
        #expect(first["short_name"] == "Bug" && first["compliance_factor"] == 1.0)
        #expect(first["not_checked"]?.array?.count == 2)
        #expect(first["not_checked"]?[0]?["why"]?.string?.contains("no model") == true)
        #expect(first["judged_by"] == "checks")
        let second = try #require(answer["results"]?[1])
        #expect(second["compliance_factor"]?.double ?? 1 < 0.5)
        #expect(second["annotated_description"]?.string?.contains("not met") == true)
        #expect(answer["processing"]?["failed"]?[0]?["issue"] == "gone")
        let unknown = try await world.failure(
            "estimate_compliance",
            ["issues": ["acme/app#1"], "compliance_metric": "X"]
        )
        #expect(unknown.contains("`DoR`"))
    }

    @Test func `improving adds what is missing and keeps what is there`() async throws {
        let world = try await IssueWorld()
        let answer = try await world.call("improve_compliance", ["issues": ["acme/app#3"]])
        let result = try #require(answer["results"]?[0])
        let text = try #require(result["description"]?.string)
        #expect(text.utf8.starts(with: "As a user I want less light".utf8))
        #expect(text.contains("## Acceptance criteria") && text.contains("## Why"))
        #expect(result["rewritten_by"] == "template")
    }

    private func judge(_ provider: LanguageModel.Provider, _ text: String) -> JSONValue {
        switch provider {
        case .openai: ["choices": [["message": ["content": .string(text)]]]]
        case .anthropic: ["content": [["type": "text", "text": .string(text)]]]
        }
    }

    @Test(arguments: LanguageModel.Provider.allCases)
    func `a model answers the questions and rewrites`(
        _ provider: LanguageModel.Provider
    ) async throws {
        let verdict = """
            Here: ```json
            {"answers":[{"id":"reproducible","met":true,"reason":"clear"},
            {"id":"single","met":false,"reason":"two problems","advice":"split it"}]}
            ```
            """
        let rewritten = #"{"title":"Better","description":"Text"}"#
        let service = Answers([judge(provider, verdict), judge(provider, rewritten)])
        let model = LanguageModel(
            .init(provider: provider, url: "http://ai/v1", model: "m", apiKey: Secret("key")),
            transport: service
        )
        let world = try await IssueWorld(model: model)
        let answer = try await world.call(
            "improve_compliance",
            ["issues": ["acme/app#1"], "compliance_metric": "Bug"]
        )
        let result = try #require(answer["results"]?[0])
        #expect(result["title"] == "Better" && result["rewritten_by"] == "m")
        #expect(result["suggestion"]?.string?.contains("split it") == true)
        #expect(result["compliance_factor"]?.double ?? 1 < 1)
        let requests = service.requests.withLock { $0 }
        let paths = [LanguageModel.Provider.openai: "/chat/completions", .anthropic: "/messages"]
        #expect(
            requests.map(\.url) == Array(repeating: "http://ai/v1" + paths[provider]!, count: 2)
        )
        let keys = requests[0].headers.filter { $0.value.contains("key") }.map(\.name)
        #expect(keys == [provider == .openai ? "Authorization" : "x-api-key"])
    }

    @Test(arguments: [
        ("no json at all", 200), (#"{"answers":[]}"#, 200), (#"{"answers":"x"}"#, 200), ("", 500),
        (#"{"answers":[{"id":"single","met":"yes"}]}"#, 200),
    ])
    func `a model that answers nonsense spoils nothing`(_ text: String, _ status: Int) async throws
    {
        let service = Answers([judge(.openai, text)], status: status)
        let model = LanguageModel(
            .init(provider: .openai, url: "http://ai", model: "m"),
            transport: service
        )
        let world = try await IssueWorld(model: model)
        let answer = try await world.call(
            "estimate_compliance",
            ["issues": ["acme/app#1"], "compliance_metric": "Bug"]
        )
        let result = try #require(answer["results"]?[0])
        #expect(result["judged_by"] == "checks")
        #expect(result["not_checked"]?.array?.count == 2)
        #expect(result["not_checked"]?[0]?["why"]?.string?.contains("`m`") == true)
    }

    @Test(arguments: [
        ("{}", "missing"), (#"{"v":1,"metrics":[]}"#, "1 element"),
        (#"{"v":2,"metrics":[{}]}"#, "`v`"),
        (
            #"{"v":1,"metrics":[{"name":"a","short_name":"b","chekcs":[]}]}"#,
            "did you mean `checks`"
        ),
        (
            """
            {"v":1,"metrics":[{"name":"a","short_name":"b","checks":[{"id":"x","rule":"rhyme",\
            "requirement":"r","advice":"a"}]}]}
            """,
            "`metrics[0].checks[0].rule` must be one of"
        ),
    ])
    func `a file of metrics that is wrong says where`(_ text: String, _ expected: String) throws {
        let document = try JSONParser.parse(text)
        let error = #expect(throws: ToolFailure.self) { try MetricCatalogue(document) }
        #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
    }

    @Test func `the standard metrics are a file like any other`() throws {
        let again = try MetricCatalogue(
            JSONParser.parse(MetricCatalogue.standard.document.serializedText())
        )
        #expect(again == MetricCatalogue.standard)
    }
}
