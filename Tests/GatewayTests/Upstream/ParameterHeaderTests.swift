import Domain
import Firewall
import HTTPClient
import MCP
import Store
import Synchronization
import Testing

@testable import Gateway

/// The `Mcp-Param-…` headers of calls, which other servers' schemas ask for by `x-mcp-header`.
@Suite struct ParameterHeaderTests {
    private static let properties: JSONValue = [
        "tenant": ["type": "string", "x-mcp-header": "Tenant"],
        "urgent": ["type": "boolean", "x-mcp-header": "Urgent"],
        "deep": [
            "type": "object",
            "properties": ["level": ["type": "integer", "x-mcp-header": "Level"]],
        ],
    ]
    private static let token = "ghp_" + String(repeating: "aB3dE6", count: 6)

    private let world: ProxiedWorld

    init() async throws { world = try await ProxiedWorld() }

    /// Adds a server whose tool `route` has these arguments, and looks at it.
    private func add(
        _ properties: JSONValue = ParameterHeaderTests.properties,
        isModern: Bool = true
    ) async throws -> UpstreamDesk.Report {
        show(properties, isModern: isModern)
        return try await world.desk.scan(try await world.addSecond(), by: "user:ann")
    }

    private func show(_ properties: JSONValue, isModern: Bool = true) {
        let properties = object(properties)
        world.upstream.state.withLock { state in
            state.isModern = isModern
            state.tools = ["route"]
            state.properties = properties
        }
    }

    /// Calls the tool, with headers of the client's besides those that mirror arguments.
    private func call(
        _ arguments: JSONValue,
        _ others: KeyValuePairs<String, String> = [:]
    ) async throws -> ToolResult {
        var request = GuardedCall.Request(tool: "two__route", arguments: object(arguments))
        request.extras.isModern = true
        request.extras.parameterHeaders = HeaderFields(others)
        return try await world.calls.run(request, by: caller)
    }

    /// What the latest call's headers of that kind said, as lines.
    private var sent: [String] {
        let fields = world.upstream.state.withLock { $0.headers.last ?? [] }
        return fields.filter { $0.name.lowercased().hasPrefix("mcp-param-") }
            .map { "\($0.name): \($0.value)" }.sorted()
    }

    @Test func `a call's headers mirror the arguments that the schema names`() async throws {
        #expect(try await add().unusable.isEmpty)
        let arguments: JSONValue = ["tenant": "é", "urgent": true, "deep": ["level": 42]]
        #expect(try await !call(arguments).isError)
        #expect(
            sent == [
                "Mcp-Param-Level: 42", "Mcp-Param-Tenant: =?base64?w6k=?=",
                "Mcp-Param-Urgent: true",
            ]
        )
        let fields = world.upstream.state.withLock { $0.headers.last ?? [] }
        #expect(fields.contains(HTTPField("Mcp-Name", "route")))
        // An argument that is not there has no header.
        #expect(try await !call(["tenant": "acme", "deep": [:]]).isError)
        #expect(sent == ["Mcp-Param-Tenant: acme"])
    }

    @Test func `a server of the older revisions gets none`() async throws {
        _ = try await add(isModern: false)
        #expect(try await !call(["tenant": "acme"], ["Mcp-Param-Region": "eu"]).isError)
        #expect(sent.isEmpty)
    }

    @Test func `a header says no more than a rule has left of its argument`() async throws {
        _ = try await add()
        try await world.apply("[]", more: rule("redact"))
        #expect(try await !call(["tenant": .string(Self.token)]).isError)
        let argument = world.upstream.state.withLock { $0.calls.last?["arguments"]?["tenant"] }
        #expect(argument?.string?.hasPrefix("[redacted:github_token:") == true)
        #expect(sent == ["Mcp-Param-Tenant: \(argument?.string ?? "")"])
    }

    private func rule(_ action: String) -> String {
        "sensitive_data: {rules: [{id: none-out, on: tool.args, types: [secrets], "
            + "action: \(action)}]}"
    }

    private static let invalid: [JSONValue] = [
        ["a": ["type": "number", "x-mcp-header": "A"]],
        ["a": ["type": "object", "x-mcp-header": "A"]],
        ["a": ["x-mcp-header": "A"]],
        ["a": ["type": "string", "x-mcp-header": ""]],
        ["a": ["type": "string", "x-mcp-header": "A B"]],
        ["a": ["type": "string", "x-mcp-header": "A\r\nAuthorization: x"]],
        ["a": ["type": "string", "x-mcp-header": "Ä"]],
        ["a": ["type": "string", "x-mcp-header": 5]],
        ["a": ["properties": ["b": ["type": "array", "x-mcp-header": "A"]]]],
        [
            "a": ["type": "string", "x-mcp-header": "Same"],
            "b": ["type": "string", "x-mcp-header": "sAME"],
        ],
        ["a": ["type": "array", "items": ["type": "string", "x-mcp-header": "A"]]],
        ["a": ["anyOf": [["type": "string", "x-mcp-header": "A"], ["type": "null"]]]],
        ["a": ["additionalProperties": ["properties": ["b": ["x-mcp-header": "A"]]]]],
    ]

    @Test(arguments: invalid)
    func `a tool whose headers cannot be made is left out, and told`(
        _ properties: JSONValue
    ) async throws {
        let report = try await add(properties)
        #expect(report.tools.isEmpty)
        #expect(report.unusable == ["`route` has headers that cannot be made"])
        await #expect(throws: RPCError.self) { try await call([:]) }
        #expect(sent.isEmpty && world.upstream.texts.isEmpty)
    }

    @Test func `one that was accepted is not called any more`() async throws {
        let id = try await add().server.id
        #expect(try await !call(["tenant": "acme"]).isError)
        show(Self.invalid[0])
        let report = try await world.desk.scan(id, by: "user:ann")
        #expect(report.tools.map(\.state) == [.gone])
        await #expect(throws: RPCError.self) { try await call(["tenant": "acme"]) }
        #expect(world.upstream.texts.count == 1)
    }

    // MARK: - Headers of which nothing is known

    @Test func `headers that mirror no argument are handed on, and stand for none`() async throws {
        _ = try await add()
        let others: KeyValuePairs = [
            "Mcp-Param-Region": "eu", "mcp-param-LEVEL": "7", "MCP-Param-Tenant": "evil",
            "Authorization": "Bearer x", "Mcp-Param-": "x", "Mcp-Param-Bad": "a\u{1}b",
        ]
        #expect(try await !call(["tenant": "acme"], others).isError)
        #expect(sent == ["Mcp-Param-Region: eu", "Mcp-Param-Tenant: acme"])
        let fields = world.upstream.state.withLock { $0.headers.last ?? [] }
        #expect(!fields.contains { $0.name == "Authorization" })
    }

    @Test(arguments: ["deny", "redact", "require_approval"])
    func `one in which a rule finds something is not handed on`(_ action: String) async throws {
        _ = try await add()
        try await world.apply("[]", more: rule(action))
        // What is in Base64 is looked at as what it stands for.
        let hidden = HeaderValue.encoded("é \(Self.token)")
        let others: KeyValuePairs = [
            "Mcp-Param-Plain": Self.token, "Mcp-Param-Hidden": hidden, "Mcp-Param-Region": "eu",
        ]
        #expect(try await !call([:], others).isError)
        #expect(sent == ["Mcp-Param-Region: eu"])
        #expect(try await world.records()[0].reason?.contains("a header") == true)
    }

    @Test func `more than anybody routes by is not handed on`() async throws {
        _ = try await add()
        let long = String(repeating: "x", count: 4_096)
        let others: KeyValuePairs = ["Mcp-Param-Region": "eu", "Mcp-Param-Long": long]
        #expect(try await !call(["tenant": "acme"], others).isError)
        #expect(sent == ["Mcp-Param-Tenant: acme"])
    }
}
