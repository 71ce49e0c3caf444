import Crypto
import Domain
import HTTPTypes

/// Documents that two people may edit: each has an entity tag, and a change can insist on it.
enum Versioned {
    /// A digest of the document as it is shown.
    static func tag(of value: JSONValue) -> String {
        let digest = SHA256.hash(data: value.serialized())
        return "\"\(Base64URL.encode(digest.prefix(16)))\""
    }

    /// The document, or 304 when the client has it already.
    ///
    /// - Parameters:
    ///   - value: The document.
    ///   - version: The part of it that people edit, where the rest changes by itself: its tag is
    ///     for changes alone, for an equal one does not say that the document is the same.
    ///   - request: What is answered.
    ///   - status: Of the answer.
    /// - Returns: The answer, with its tag.
    static func answer(
        _ value: JSONValue,
        version: JSONValue? = nil,
        to request: APIRequest,
        status: HTTPResponse.Status = .ok
    ) -> APIResponse {
        let tag = tag(of: version ?? value)
        if version == nil, request.method == .get, let known = request.headers[.ifNoneMatch],
            matches(known, tag)
        {
            return APIResponse(.notModified, headers: [.eTag: tag])
        }
        return .json(value, status: status, headers: [.eTag: tag])
    }

    /// Refuses a change of a document that is not any more what the client has seen.
    static func check(_ request: APIRequest, against value: JSONValue) throws(Problem) {
        guard let wanted = request.headers[.ifMatch] else { return }
        guard matches(wanted, tag(of: value)) else {
            throw Problem(
                .preconditionFailed,
                "somebody has changed it since; read it again and decide anew",
                code: "changed_meanwhile"
            )
        }
    }

    private static func matches(_ list: String, _ tag: String) -> Bool {
        list.split(separator: ",").contains { item in
            let item = item.trimmed
            return item == "*" || item == tag || item == "W/\(tag)"
        }
    }
}
