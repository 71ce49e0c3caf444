import Domain
import Gateway
import HTTPTypes
import MCP

/// Tools over REST: each by its name, with its arguments as the body.
struct ToolRoutes: Sendable {
    let calls: @Sendable (AccountID) async throws -> GuardedCall

    private static let tag = "Tools"

    /// The routes.
    var routes: [Route] {
        let access = Route.Access.permission(.callTools)
        return [
            .on(.get, "/api/v1/tools", access, tag: Self.tag, "The tools you may call") { request in
                let page = try PageRequest(request, standard: PageRequest.maximumLimit)
                let principal = try request.user()
                let tools = try await calls(principal.account)
                    .visibleTools(to: principal.caller(.rest))
                let slice = try page.slice(of: tools)
                return page.answer(slice.items.map { $0.json() }, next: slice.next, to: request)
            }.paged(standard: PageRequest.maximumLimit)
                .answers(.ok, Shape.list(of: ["type": "object"])),
            .on(
                .post,
                "/api/v1/mcp/{tool}",
                access,
                tag: Self.tag,
                "Call a tool; the body is its arguments, as `/api/v1/tools` describes them"
            ) { request in
                let name = request.parameters["tool"] ?? ""
                if let number = InexactNumbers.first(in: request.body) {
                    throw Problem(
                        .unprocessableContent,
                        "the number `\(number)` has more digits than are kept; send it as a text"
                    )
                }
                return .json(try await call(name, try request.object(), request))
            }.takesAnyBody.answers(.ok, ["type": "object"]).callsTools,
        ]
    }

    /// Calls a tool on behalf of whoever sent the request.
    ///
    /// `mayWrite` is for routes that have asked for the permission to edit issues.
    ///
    /// - Throws: A ``Problem``: 404 for a tool that there is not, and what
    ///   ``Problem/failure(_:_:)`` says of the kind of failure that the tool tells of.
    func call(
        _ name: String,
        _ arguments: JSONObject,
        _ request: APIRequest,
        mayWrite: Bool? = nil
    ) async throws -> JSONValue {
        let principal = try request.user()
        var call = GuardedCall.Request(tool: name, arguments: arguments)
        call.traceParent = request.headers[.traceParent].flatMap { text in
            text.utf8.count <= 64 ? text : nil
        }
        let calls = try await calls(principal.account)
        let result: ToolResult
        do throws(RPCError) {
            result = try await calls.run(
                call,
                by: principal.caller(.rest, mayWrite: mayWrite)
            )
        } catch {
            if await calls.lacksTracker(forTool: name) {
                throw Problem(
                    .notFound,
                    "no tracker is configured; add one with `POST /api/v1/trackers`, or with "
                        + "`preloop trackers add` on the server",
                    code: "no_tracker"
                )
            }
            throw Problem(.notFound, "there is no tool `\(name)` for you", code: "unknown_tool")
        }
        guard !result.isError else {
            throw Problem.failure(result.text, result.kind ?? .invalid)
        }
        return result.structured ?? ["text": .string(result.text)]
    }
}

extension Route {
    /// The route of calls of tools: with the problems that they may end with, and for bodies of an
    /// MCP message's size.
    ///
    /// JSON may write a character as twelve bytes (`\ud83d\ude00`), so that the longest text of an
    /// issue comes to 2.4 MB, and the rest of the issue to less than 1 MB.
    var callsTools: Route {
        var copy = problems(.notFound, .conflict, .badGateway, .gatewayTimeout)
        copy.bodyLimit = MessageParser.Limits().bytes
        return copy
    }
}
