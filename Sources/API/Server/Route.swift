import Domain
import HTTPTypes
import HummingbirdCore
import MCP
import NIOCore

/// One row of the route table: what the router matches, what is checked before the handler, and
/// what the OpenAPI document says.
struct Route: Sendable {
    /// Who may call.
    enum Access: Sendable, Equatable {
        case open
        case permission(Permission)
    }

    /// Answers a request that passed all checks.
    typealias Handler = @Sendable (APIRequest) async throws -> APIResponse
    /// Writes the answer itself, such as a stream; gives the status for the log.
    typealias StreamHandler =
        @concurrent @Sendable (APIRequest, consuming ResponseWriter, any Channel) async throws
        -> HTTPResponse.Status

    enum Action: Sendable {
        case answer(Handler)
        case stream(StreamHandler)
    }

    /// A value that is given in the query.
    struct Parameter: Sendable {
        var name: String
        /// Its type and limits; values are converted and checked by it.
        var schema: JSONValue
        var compiled: JSONSchema
    }

    var method: HTTPRequest.Method
    /// Such as `/api/v1/trackers/{id}`.
    var path: String
    var access: Access
    var tag: String
    var summary: String
    /// What an `{id}` of the path is like.
    var identifier: JSONValue = Shape.identifier
    var parameters: [Parameter] = []
    /// What the body must be like; nil for none, or for what the handler reads itself.
    var body: JSONValue?
    var compiledBody: JSONSchema?
    /// Whether a form is taken in place of JSON.
    var takesForm = false
    var status: HTTPResponse.Status = .ok
    /// What the answer is like; nil for none.
    var result: JSONValue?
    /// Of the answer.
    var resultType = "application/json"
    /// Answers besides that one, which are no problems.
    var alternatives: [Alternative] = []
    /// Problems besides those that every route of its kind has.
    var problems: [HTTPResponse.Status] = []
    /// What it has to do with entity tags.
    var versioning: Versioning = []
    /// Whether its answer is a page of a list, with the way to the next one in its head.
    var isPaged = false
    /// Headers of requests that a handler reads and judges itself.
    var ownHeaders: [Header] = []
    /// Headers of good answers that no other route has.
    var ownAnswerHeaders: [String] = []
    /// Whether somebody who shows no credential may be let in, where a credential counts.
    var takesCredential = false
    /// Whether its handler speaks JSON-RPC, refusals included.
    var speaksRPC = false
    var bodyLimit: Int?
    /// Whether its handler is stopped when its client goes.
    var endsWithClient = false
    /// Whether an `Idempotency-Key` is honoured; not where an answer holds a secret, for answers
    /// are kept: there one is refused.
    var keepsAnswers = true
    /// Whether the OpenAPI document has it.
    var isDocumented = true
    var action: Action

    /// Whether an `Idempotency-Key` is honoured.
    var honoursKeys: Bool {
        guard case .answer = action else { return false }
        return isWrite && keepsAnswers && access != .open
    }
    /// The parts of the path, `{id}` as they stand.
    var segments: [Substring] { path.split(separator: "/") }
    /// Whether something may change: what an `Idempotency-Key` is good for.
    var isWrite: Bool { method != .get && method != .head }
    /// Whether what it does not know or honour is refused, parameters, an `Idempotency-Key` and an
    /// `If-Match`: below `/api/v1`, but for the addresses that trackers were given, who send what
    /// they like.
    var isStrict: Bool {
        path.hasPrefix("/api/v1/") && !path.hasPrefix("/api/v1/private/")
    }
}

extension Route {
    /// A route whose handler gives an answer.
    static func on(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ access: Access,
        tag: String,
        _ summary: String,
        handler: @escaping Handler
    ) -> Route {
        Route(
            method: method,
            path: path,
            access: access,
            tag: tag,
            summary: summary,
            action: .answer(handler)
        )
    }

    /// The route with a parameter in the query.
    func query(_ name: String, _ schema: JSONValue) -> Route {
        var copy = self
        copy.parameters.append(
            Parameter(name: name, schema: schema, compiled: Self.compiled(schema, path))
        )
        return copy
    }

    /// The route with a body that must follow a schema.
    func body(_ schema: JSONValue, orForm takesForm: Bool = false) -> Route {
        var copy = self
        copy.body = schema
        copy.compiledBody = Self.compiled(schema, path)
        copy.takesForm = takesForm
        return copy
    }

    /// The route whose `{id}` is like that.
    func identified(by schema: JSONValue) -> Route {
        var copy = self
        copy.identifier = schema
        return copy
    }

    /// The route with a body that only its handler understands: a JSON object.
    var takesAnyBody: Route { takes(["type": "object"]) }

    /// The route with a body that its handler reads and checks itself, and that is like that.
    func takes(_ schema: JSONValue) -> Route {
        var copy = self
        copy.body = schema
        return copy
    }

    /// The route with what it answers with.
    func answers(_ status: HTTPResponse.Status = .ok, _ schema: JSONValue? = nil) -> Route {
        var copy = self
        copy.status = status
        copy.result = schema
        return copy
    }

    /// The route with problems of its own.
    func problems(_ statuses: HTTPResponse.Status...) -> Route {
        var copy = self
        copy.problems += statuses
        return copy
    }

    /// The route without the keeping of its answers.
    var withoutKeeping: Route {
        var copy = self
        copy.keepsAnswers = false
        return copy
    }

    /// The route for bodies of a form's size: what strangers may send costs no more than that.
    var forSmallBodies: Route {
        var copy = self
        copy.bodyLimit = 16 << 10
        return copy
    }

    /// The route of what strangers may ask for and costs much: who goes away does not keep others
    /// waiting for it.
    ///
    /// Not for what has an effect elsewhere, or an answer that is kept for whoever comes back.
    var endingWithClient: Route {
        var copy = self
        copy.endsWithClient = true
        return copy
    }

    /// The route without a place in the OpenAPI document.
    var undocumented: Route {
        var copy = self
        copy.isDocumented = false
        return copy
    }

    private static func compiled(_ schema: JSONValue, _ path: String) -> JSONSchema {
        do throws(JSONSchema.CompilationError) {
            return try JSONSchema(schema)
        } catch {
            preconditionFailure("a schema of `\(path)`: \(error)")
        }
    }
}
