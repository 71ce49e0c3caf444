import Domain
import HTTPTypes

/// What a route says of the heads of its requests and answers, for the document; its handler does
/// it.
extension Route {
    /// An answer besides the usual one, or another form of it.
    struct Alternative: Sendable {
        var status: HTTPResponse.Status
        /// Its media types with what they are like; none for an answer without a body.
        var content: [(type: String, schema: JSONValue)] = []
    }

    /// A header of requests.
    struct Header: Sendable {
        var name: String
        var schema: JSONValue
    }

    /// What a route has to do with entity tags.
    struct Versioning: OptionSet, Sendable {
        let rawValue: Int

        /// Its answers have one.
        static let tagged = Versioning(rawValue: 1)
        /// `If-None-Match` spares the transfer of what the client has: 304.
        static let revalidated = Versioning(rawValue: 2)
        /// `If-Match` refuses the change of what somebody else has changed: 412.
        static let guarded = Versioning(rawValue: 4)
    }

    /// The route whose answers have an `ETag`.
    var tagged: Route { versioned(.tagged) }
    /// The same, where `If-None-Match` is honoured, too.
    var revalidated: Route { versioned([.tagged, .revalidated]).or(.notModified) }
    /// The route of a change that `If-Match` may refuse.
    var guarded: Route { versioned(.guarded) }

    private func versioned(_ versioning: Versioning) -> Route {
        var copy = self
        copy.versioning.formUnion(versioning)
        return copy
    }

    /// The route whose answer is no JSON.
    func ofType(_ type: String) -> Route {
        var copy = self
        copy.resultType = type
        return copy
    }

    /// The open route that looks at a credential where one is shown, and may want one.
    var withOptionalCredential: Route {
        var copy = self
        copy.takesCredential = true
        return copy
    }

    /// The route with another answer, or with the usual one in another form.
    func or(_ status: HTTPResponse.Status, _ content: (String, JSONValue)...) -> Route {
        var copy = self
        copy.alternatives.append(
            Alternative(status: status, content: content.map { (type: $0.0, schema: $0.1) })
        )
        return copy
    }

    /// The route with a header that its handler reads and judges itself.
    func reads(_ name: String, _ summary: String) -> Route {
        var copy = self
        copy.ownHeaders.append(Header(name: name, schema: Shape.described(summary)))
        return copy
    }

    /// The route whose good answers may have a header that is no other route's.
    func gives(_ name: String) -> Route {
        var copy = self
        copy.ownAnswerHeaders.append(name)
        return copy
    }

    /// The headers that count in a request, besides those that count in every one.
    var requestHeaders: [Header] {
        var headers = ownHeaders
        if versioning.contains(.guarded) {
            let summary = "An `ETag`, or several, or `*`; a change of anything else is refused."
            headers.append(Header(name: "If-Match", schema: Shape.described(summary)))
        }
        if versioning.contains(.revalidated) {
            let summary = "The `ETag` of what you have; if it is still that, the answer is 304."
            headers.append(Header(name: "If-None-Match", schema: Shape.described(summary)))
        }
        if honoursKeys {
            headers.append(
                Header(
                    name: "Idempotency-Key",
                    schema: [
                        "type": "string", "minLength": 1, "maxLength": 128,
                        "pattern": "^[!-~]+$",
                        "description": "A repeated request with the same key is answered alike.",
                    ]
                )
            )
        }
        return headers
    }

    /// The answers to what was done, each status once.
    var goodAnswers: [Alternative] {
        var usual = Alternative(status: status)
        if let result { usual.content.append((type: resultType, schema: result)) }
        for other in alternatives where other.status == status { usual.content += other.content }
        return [usual] + alternatives.filter { $0.status != status }
    }

    /// The headers that a good answer may have, besides those that every answer has.
    var answerHeaders: [String] {
        var names: [String] = []
        if versioning.contains(.tagged) { names.append("ETag") }
        if isPaged { names += ["X-Next-Cursor", "Link"] }
        if honoursKeys { names.append("Idempotent-Replayed") }
        return names + ownAnswerHeaders
    }

    /// What it answers with when it does not do what was asked, by code.
    var refusals: [HTTPResponse.Status] {
        var statuses: Set<HTTPResponse.Status> = Set(problems)
        // A name that is not ours, a page that may not call, another method than the address has,
        // too large a request, too many of them, and what nobody has thought of.
        statuses.formUnion([
            .badRequest, .forbidden, .methodNotAllowed, .contentTooLarge, .misdirectedRequest,
            .internalServerError, .serviceUnavailable,
        ])
        if access != .open || takesCredential { statuses.insert(.unauthorized) }
        if path.contains("{") { statuses.insert(.notFound) }
        if isStrict || !parameters.isEmpty { statuses.insert(.unprocessableContent) }
        if body != nil {
            statuses.insert(.unsupportedMediaType)
            if !speaksRPC { statuses.insert(.unprocessableContent) }
        }
        if versioning.contains(.guarded) { statuses.insert(.preconditionFailed) }
        if honoursKeys {
            statuses.formUnion([.conflict, .unprocessableContent, .tooManyRequests])
        }
        statuses.remove(status)
        return statuses.sorted { $0.code < $1.code }
    }
}
