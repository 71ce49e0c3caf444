import Domain
import HTTPTypes

/// The fields of a form's body (`application/x-www-form-urlencoded`), each once, all of them read.
///
/// A field that was left out, or a second one that was dropped, would be something else than what
/// was sent: another password, for example. A refusal names fields that are known alone: what
/// stands where a name should may be part of a value with an `&` in it. It never shows a value.
struct FormFields: Sendable, Equatable {
    /// What a form's body is called.
    static let mediaType = "application/x-www-form-urlencoded"
    private static let code = "malformed_form"

    /// In their order.
    private(set) var members = JSONObject()
    private let known: [String]

    /// Reads a body.
    ///
    /// - Parameters:
    ///   - body: As it was sent.
    ///   - known: The names that a refusal may show.
    /// - Throws: ``Problem``: 400 for fields that cannot be decoded, are there twice, or are more
    ///   than ``QueryItems/maximumCount``.
    init(_ body: [UInt8], known: [String]) throws(Problem) {
        self.known = known
        let pairs = body.split(separator: UInt8(ascii: "&"))
        guard pairs.count <= QueryItems.maximumCount else {
            let limit = QueryItems.maximumCount
            throw Problem(
                .badRequest,
                "the form must have \(limit) fields at most",
                code: Self.code
            )
        }
        var wrong: [Problem.Field] = []
        for (index, pair) in pairs.enumerated() {
            let parts = pair.split(
                separator: UInt8(ascii: "="),
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            let name = percentDecoded(parts[0], plusIsSpace: true)
            let value = parts.count > 1 ? percentDecoded(parts[1], plusIsSpace: true) : ""
            let shown = shown(name, at: index)
            guard let name, let value else {
                wrong.append(.init(shown, "must be UTF-8, and have two digits behind each `%`"))
                continue
            }
            guard members[name] == nil else {
                wrong.append(.init(shown, "is there more than once"))
                continue
            }
            members.append(key: name, value: .string(value))
        }
        guard let first = wrong.first else { return }
        var problem = Problem(
            .badRequest,
            "`\(first.path)` of the form \(first.message)",
            code: Self.code
        )
        problem.fields = wrong
        throw problem
    }

    /// The value of a name; an empty one counts as missing.
    subscript(name: String) -> String? {
        members[name]?.string.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The fields that are known.
    var knownMembers: JSONObject {
        JSONObject(members.members.filter { isKnown($0.key) }.map { ($0.key, $0.value) })
    }

    /// What is wrong with the other ones, for whoever takes none besides those that are known.
    var unknownFields: [Problem.Field] {
        let names = known.map { "`\($0)`" }.joined(separator: ", ")
        // Each field has become a member, in the order in which they were sent.
        return members.members.enumerated().compactMap { index, member in
            guard !isKnown(member.key) else { return nil }
            return Problem.Field(shown(member.key, at: index), "is not known; there are \(names)")
        }
    }

    private func isKnown(_ name: String) -> Bool {
        known.contains { haveEqualBytes($0, name) }
    }

    /// A name that may be shown, else where its field is.
    private func shown(_ name: String?, at index: Int) -> String {
        guard let name, isKnown(name) else { return "field \(index + 1)" }
        return name
    }
}

extension APIRequest {
    /// The fields of a body that must be a form; `known` are the names that a refusal may show.
    func form(known: [String]) throws(Problem) -> FormFields {
        guard mediaType == FormFields.mediaType else {
            throw Problem(.unsupportedMediaType, "the body must be a form")
        }
        return try FormFields(body, known: known)
    }
}
