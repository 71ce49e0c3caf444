import Domain
import Foundation
import TestSupport
import Testing

/// What MCP servers and collectors hear of the trace that a call belongs to.
@Suite(
    .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the MCP SDK"),
    .serialized
)
struct UpstreamTracingTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

    private static func parent(_ trace: String) -> String { "00-\(trace)-00f067aa0ba902b7-01" }

    /// A server behind Preloop, and a collector of spans.
    private struct World {
        let upstream: PythonUpstream
        let collector: ScriptedHTTPServer
        let server: ServeProcess

        init(_ transport: String) throws {
            let sandbox = try Sandbox.withServers()
            upstream = try PythonUpstream(transport)
            let options = transport == "sse" ? ["--transport", "sse"] : []
            let added = try sandbox.add(upstream, "up", options)
            #expect(added.status == 0, "\(added.errors)")
            collector = try ScriptedHTTPServer { _ in [.answer(200, text: "{}")] }
            server = try ServeProcess(
                sandbox,
                environment: ["OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin]
            )
        }

        /// Sends a body, and gives the answer's.
        func post(_ path: String, _ body: JSONValue, _ headers: [String]) throws -> JSONValue {
            let fields =
                headers + [
                    "Content-Type: application/json", "Authorization: Bearer \(server.key)",
                    "traceparent: \(parent(trace))", "tracestate: vendor=1",
                ]
            let answer = try server.curl(
                fields.flatMap { ["-H", $0] }
                    + ["-d", body.serializedText(), server.origin + path]
            )
            #expect(answer.status == 200, "\(answer.body)")
            return try JSONParser.parse(Array(answer.body.utf8))
        }

        /// Every span that the collector got.
        var spans: [JSONValue] {
            get throws {
                try collector.requests.flatMap { request in
                    let document = try JSONParser.parse(request.body)
                    return document["resourceSpans"]?[0]?["scopeSpans"]?[0]?["spans"]?.array ?? []
                }
            }
        }
    }

    /// What the server's tool `meta` saw.
    private func seen(_ text: JSONValue?) throws -> (place: TraceContext, state: String?) {
        let meta = try JSONParser.parse(Array((text?.string ?? "").utf8))
        let place = TraceContext(parent: meta["traceparent"]?.string ?? "")
        return (try #require(place, "\(meta)"), meta["tracestate"]?.string)
    }

    /// Calls over both ways in; the second says in its message which trace it is of.
    private func calls(_ world: World) throws -> [(place: TraceContext, state: String?)] {
        let plain = try world.post("/api/v1/mcp/meta", [:], [])
        let version = "2026-07-28"
        let message: JSONValue = [
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": [
                "name": "meta", "arguments": [:],
                "_meta": [
                    "io.modelcontextprotocol/protocolVersion": .string(version),
                    "io.modelcontextprotocol/clientCapabilities": [:],
                    "traceparent": .string(Self.parent(Self.other)), "tracestate": "theirs=2",
                ],
            ],
        ]
        let answer = try world.post(
            "/mcp/v1",
            message,
            [
                "Accept: application/json, text/event-stream", "MCP-Protocol-Version: \(version)",
                "Mcp-Method: tools/call", "Mcp-Name: meta",
            ]
        )
        return [
            try seen(plain["text"]), try seen(answer["result"]?["content"]?[0]?["text"]),
        ]
    }

    /// Neither a header nor `_meta` had anything, and the trace ended at the gateway.
    @Test(arguments: ["http", "sse", "stdio"])
    func `a server hears of the trace, and the collector of each request to it`(
        _ transport: String
    ) throws {
        let world = try World(transport)
        let calls = try calls(world)
        #expect(calls.map(\.place.traceText) == [Self.trace, Self.other])
        #expect(calls.map(\.state) == ["vendor=1", "theirs=2"])
        #expect(calls.allSatisfy { $0.place.spanText != "00f067aa0ba902b7" })
        if transport != "stdio" {
            let noted = world.upstream.calls.filter { $0.hasPrefix("traceparent") }
            #expect(
                noted == calls.map { "traceparent \($0.place.header) \($0.state ?? "")" },
                "\(noted)"
            )
        }
        #expect(try world.server.stop().status == 0)
        let spans = try world.spans
        for call in calls {
            let span = spans.first { $0["spanId"] == .string(call.place.spanText) }
            #expect(span?["name"] == "tools/call" && span?["kind"] == 3)
            #expect(span?["traceId"] == .string(call.place.traceText))
            // It hangs on what Preloop itself did for the call.
            let cause = spans.first { $0["spanId"] == span?["parentSpanId"] }
            #expect(cause?["traceId"] == span?["traceId"] && cause != nil)
            let attributes = span?["attributes"]?.array ?? []
            for (key, value) in [
                ("mcp.method.name", "tools/call"), ("mcp.server.name", "up"),
                ("gen_ai.tool.name", "meta"),
            ] {
                let wanted: JSONValue = [
                    "key": .string(key), "value": ["stringValue": .string(value)],
                ]
                #expect(attributes.contains(wanted), "\(key): \(attributes)")
            }
        }
        world.collector.stop()
    }

    /// Over standard input and output nobody collects, and the trace goes on all the same.
    @Test func `a caller over standard input and output has its trace go on`() throws {
        let sandbox = try Sandbox.withServers()
        let upstream = try PythonUpstream("stdio")
        #expect(try sandbox.add(upstream, "up").status == 0)
        let running = try sandbox.start("preloop", ["mcp"])
        let answer = try JSONParser.parse(
            Array(
                try running.answer(
                    to: #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"meta","#
                        + #""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#
                        + #""io.modelcontextprotocol/clientCapabilities":{},"#
                        + #""traceparent":"\#(Self.parent(Self.other))"}}}"# + "\n"
                ).utf8
            )
        )
        let call = try seen(answer["result"]?["content"]?[0]?["text"])
        #expect(call.place.traceText == Self.other && call.state == nil)
        #expect(call.place.spanText != "00f067aa0ba902b7")
        running.signal(SIGTERM)
        _ = try running.waitForExit()
    }
}
