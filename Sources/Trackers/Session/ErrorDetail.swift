import Domain
import HTTPClient

/// What a refusal says, shortened for one line; the services use seven shapes of error body.
struct ErrorDetail {
    /// `status 403: Resource not accessible by personal access token`.
    let text: String
    /// The scope or permission that would have been needed, when headers or body name it.
    let missingScope: String?
    /// The text speaks of a rate limit.
    let mentionsRateLimit: Bool
    /// The fields that the body blames.
    let fields: [WriteRefusal.FieldProblem]

    /// Longer texts are stack traces and web pages.
    private static let maximumLength = 200
    /// Error bodies are small; what is larger is not parsed.
    private static let maximumBodyByteCount = 64 << 10

    init(_ response: HTTPResponse) {
        let body = response.body
        var document: JSONValue?
        if body.count <= Self.maximumBodyByteCount {
            // A body that is no JSON is described as such; the parse error says nothing more.
            document = try? JSONParser.parse(body)
        }
        let message = document.flatMap { Self.message(in: $0) } ?? Self.description(of: body)
        text = "status \(response.status)" + (message.isEmpty ? "" : ": \(message)")
        let lowered = message.lowercased()
        mentionsRateLimit = lowered.contains("rate limit") || lowered.contains("retry later")
        missingScope = Self.missingScope(response.headers, document)
        fields = document.map(Self.fields) ?? []
    }

    /// More fields than a form has are no fields.
    private static let maximumFieldCount = 20

    /// GitHub `errors[{field, code, message}]`, GitLab `message {field: [problem]}` and `error` as
    /// `x is missing, y is invalid`, Jira `errors {field: problem}`.
    private static func fields(in document: JSONValue) -> [WriteRefusal.FieldProblem] {
        var found: [WriteRefusal.FieldProblem] = []
        for error in document["errors"]?.array ?? [] {
            guard let field = error["field"]?.string ?? error["resource"]?.string else { continue }
            let problem = error["message"]?.string ?? codeText(error["code"]?.string ?? "invalid")
            found.append(.init(field: bounded(field), problem: bounded(problem)))
        }
        for key in ["errors", "message"] {
            for member in document[key]?.object?.members ?? [] {
                let values = member.value.array ?? [member.value]
                let problem = values.compactMap(\.string).joined(separator: ", ")
                if !problem.isEmpty {
                    found.append(.init(field: bounded(member.key), problem: bounded(problem)))
                }
            }
        }
        if found.isEmpty, let text = document["error"]?.string {
            for part in text.split(separator: ",") {
                let words = part.split(separator: " ", maxSplits: 1).map(String.init)
                guard words.count == 2, words[1].hasPrefix("is ") || words[1].hasPrefix("does ")
                else { continue }
                found.append(.init(field: bounded(words[0]), problem: bounded(words[1])))
            }
        }
        return Array(found.prefix(maximumFieldCount))
    }

    /// GitHub's codes in words.
    private static func codeText(_ code: String) -> String {
        switch code {
        case "missing": "names something that does not exist"
        case "missing_field": "is missing"
        case "already_exists": "is taken already"
        case "invalid", "unprocessable": "is not acceptable"
        default: code
        }
    }

    /// GitHub `message` and `errors[]`, GitLab `message` as text or object of arrays, `error` with
    /// `error_description`, Jira `errorMessages` and `errors` by field.
    private static func message(in document: JSONValue) -> String? {
        var parts: [String] = []
        for key in ["message", "error", "error_description", "errorMessages", "errors"] {
            if let value = document[key] { collect(value, into: &parts, depth: 0) }
        }
        return parts.isEmpty ? nil : bounded(parts.joined(separator: "; "))
    }

    private static func collect(_ value: JSONValue, into parts: inout [String], depth: Int) {
        guard depth < 3, parts.count < 4 else { return }
        switch value {
        case .string(let text): if !text.isEmpty { parts.append(text) }
        case .array(let values):
            for value in values { collect(value, into: &parts, depth: depth + 1) }
        case .object(let object):
            for member in object.members {
                var inner: [String] = []
                collect(member.value, into: &inner, depth: depth + 1)
                parts += inner.map { "\(member.key) \($0)" }
            }
        case .null, .bool, .integer, .double: break
        }
    }

    private static func description(of body: [UInt8]) -> String {
        let start = body.prefix(200).drop { $0 <= 0x20 }
        if start.isEmpty { return "" }
        if start.first == UInt8(ascii: "<") { return "an HTML page" }
        return bounded(String(decoding: start, as: UTF8.self))
    }

    /// One line without control characters, because it goes to terminals and logs.
    private static func bounded(_ text: String) -> String {
        var result = ""
        var count = 0
        for scalar in text.unicodeScalars {
            guard count < maximumLength else { return result + "…" }
            let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            result.unicodeScalars.append(isControl ? " " : scalar)
            count += 1
        }
        return result
    }

    private static func missingScope(_ headers: HTTPHeaders, _ body: JSONValue?) -> String? {
        if body?["error"]?.string == "insufficient_scope" { return body?["scope"]?.string }
        // Fine-grained tokens: `issues=read`, alternatives separated by `;`.
        if let permissions = headers["X-Accepted-GitHub-Permissions"], !permissions.isEmpty {
            return bounded(permissions)
        }
        guard let held = headers["X-OAuth-Scopes"],
            let accepted = headers["X-Accepted-OAuth-Scopes"]
        else { return nil }
        let owned = scopes(held)
        let wanted = scopes(accepted)
        // Any one of the accepted scopes would have been enough.
        guard !wanted.isEmpty, !wanted.contains(where: owned.contains) else { return nil }
        return bounded(wanted.joined(separator: " or "))
    }

    private static func scopes(_ header: String) -> [String] {
        header.split { $0 == "," || $0 == " " }.map(String.init)
    }
}
