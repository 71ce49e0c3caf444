import Domain
import MCP
import StoreTestSupport
import Synchronization
import Testing

@testable import API
@testable import Gateway

/// Where requests and calls stand in traces.
@Suite struct TracingTests {
    /// Keeps what it is given.
    private final class Collector: Sendable {
        let spans = Mutex<[Span]>([])

        var record: Trace.Recorder { { span in self.spans.withLock { $0.append(span) } } }
    }

    /// Tells in which trace it runs.
    private struct TraceTool: Tool {
        var definition: ToolDefinition {
            ToolDefinition(
                name: "trace",
                title: "Trace",
                summary: "Tells its trace.",
                inputSchema: ["type": "object"],
                annotations: .init(isReadOnly: true)
            )
        }

        func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
            ["trace": JSONValue(Trace.current?.context.header)]
        }
    }

    private let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private var parent: String { "00-\(trace)-00f067aa0ba902b7-01" }

    private func server(_ spans: Trace.Recorder?) async throws -> (RunningServer, String) {
        var setup = RunningServer.Setup()
        setup.tools = [TraceTool()]
        setup.spans = spans
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .editor)
        return (server, try await server.key("ann"))
    }

    @Test func `a tool runs in the caller's trace, as a piece of work of its own`() async throws {
        let collector = Collector()
        let (server, key) = try await server(collector.record)
        let answer = try await server.send(
            "POST",
            "/api/v1/mcp/trace",
            [:],
            token: key,
            headers: [("traceparent", parent)]
        )
        let seen = try #require(answer.json["trace"]?.string.flatMap { TraceContext(parent: $0) })
        #expect(seen.traceText == trace && seen.spanText != "00f067aa0ba902b7")
        try await server.stop()
        let span = try #require(collector.spans.withLock { $0 }.first { $0.kind == .server })
        #expect(span.name == "POST /api/v1/mcp/{tool}" && span.context.traceText == trace)
        #expect(span.context.span == seen.span && span.parent == 0x00f0_67aa_0ba9_02b7)
        #expect(span.attributes["http.response.status_code"] == 200 && !span.isFailure)
    }

    @Test func `a call over MCP follows its own message before the request`() async throws {
        let collector = Collector()
        let (server, key) = try await server(collector.record)
        func call(_ meta: KeyValuePairs<String, JSONValue>) async throws -> TraceContext? {
            let answer = try await server.send(
                "POST",
                "/mcp/v1",
                ModernRequest.call("trace", [:], meta: meta),
                token: key,
                headers: ModernRequest.headers("tools/call", "trace") + [("traceparent", parent)]
            )
            let result = try answer.json["result"]?["structuredContent"]
            return result?["trace"]?.string.flatMap { TraceContext(parent: $0) }
        }
        let plain = try #require(try await call([:]))
        #expect(plain.traceText == trace)
        let other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        let named = try await call(["traceparent": .string("00-\(other)-00f067aa0ba902b7-01")])
        #expect(named?.traceText == other)
        try await server.stop()
        let spans = collector.spans.withLock { $0 }
        let calls = spans.filter { $0.name == "tools/call" }
        #expect(calls.map(\.context.traceText) == [trace, other])
        // The first hangs on the request that brought it.
        let request = spans.first { $0.kind == .server && $0.name == "POST /mcp/v1" }
        #expect(calls[0].parent == request?.context.span && calls[0].context == plain)
    }

    @Test func `where nobody collects, a trace goes on and none begins`() async throws {
        let (server, key) = try await server(nil)
        let path = "/api/v1/mcp/trace"
        let plain = try await server.send("POST", path, [:], token: key)
        #expect(try plain.json["trace"] == .null)
        let traced = try await server.send(
            "POST",
            path,
            [:],
            token: key,
            headers: [("traceparent", parent)]
        )
        #expect(try traced.json["trace"]?.string?.contains(trace) == true)
        try await server.stop()
    }
}
