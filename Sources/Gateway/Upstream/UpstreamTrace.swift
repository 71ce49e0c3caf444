import Domain
import HTTPClient
import MCP
import Store

/// Where requests to a server stand in the trace of what they are made for.
///
/// Each is a piece of work of its own: the server reads its place in `_meta`, whatever carries it
/// there, and what stands between reads the same in the headers.
struct UpstreamTrace: Sendable {
    /// A tool's name is cut there; names are shorter.
    private static let nameBytes = 128

    private let parent: Trace?
    private let server: UpstreamServer

    /// - Parameters:
    ///   - parent: The work that asks; nil outside of any trace.
    ///   - state: The `tracestate` that the server may hear.
    ///   - server: Which one is asked.
    init(_ parent: Trace?, state: String? = nil, to server: UpstreamServer) {
        self.parent = parent.map { parent in
            var context = parent.context
            context.state = state
            return Trace(context, record: parent.record)
        }
        self.server = server
    }

    /// Makes a request.
    ///
    /// - Parameters:
    ///   - method: What is asked.
    ///   - parameters: Without a place in a trace.
    ///   - send: Given the parameters with it.
    /// - Returns: What the server answers.
    /// - Throws: What `send` throws.
    func perform(
        _ method: String,
        _ parameters: JSONObject,
        _ send: (JSONObject) async throws -> JSONObject
    ) async throws -> JSONObject {
        guard let parent else { return try await send(parameters) }
        let trace = parent.child()
        let start = ContinuousClock.now
        do {
            let result = try await send(Self.placed(parameters, trace.context))
            let isFailure = result["isError"] == true
            trace.end { span(of: method, parameters, start, trace, isFailure: isFailure) }
            return result
        } catch {
            trace.end { span(of: method, parameters, start, trace, isFailure: true) }
            throw error
        }
    }

    private static func placed(_ parameters: JSONObject, _ place: TraceContext) -> JSONObject {
        var parameters = parameters
        var meta = parameters["_meta"]?.object ?? JSONObject()
        meta[RequestMeta.Key.traceParent] = .string(place.header)
        meta[RequestMeta.Key.traceState] = place.state.map(JSONValue.string)
        parameters["_meta"] = .object(meta)
        return parameters
    }

    private func span(
        of method: String,
        _ parameters: JSONObject,
        _ start: ContinuousClock.Instant,
        _ trace: Trace,
        isFailure: Bool
    ) -> Span {
        var span = Span(
            method,
            .client,
            trace,
            parent: parent?.context.span,
            end: WallClock.system.now(),
            duration: start.duration(to: .now)
        )
        span.attributes["mcp.method.name"] = .string(method)
        span.attributes["mcp.server.name"] = .string(server.name)
        if method == "tools/call" {
            span.attributes["gen_ai.tool.name"] = parameters["name"]?.string.map { name in
                .string(String(decoding: name.utf8.prefix(Self.nameBytes), as: UTF8.self))
            }
        }
        // Paths and queries may hold what nobody else is to read.
        let host = HTTPOrigin(of: server.url)?.host
        span.attributes["server.address"] = host.map(JSONValue.string)
        span.isFailure = isFailure
        return span
    }
}

extension Message {
    /// The headers of a request that stands in a trace (W3C Trace Context).
    var traceHeaders: [HTTPField] {
        guard case .request(let request) = self, let meta = request.parameters["_meta"],
            let parent = meta[RequestMeta.Key.traceParent]?.string,
            let context = TraceContext(
                parent: parent,
                state: meta[RequestMeta.Key.traceState]?.string
            )
        else { return [] }
        let state = context.state.map { HTTPField("tracestate", $0) }
        return [HTTPField("traceparent", context.header)] + [state].compactMap { $0 }
    }
}
