import Domain

/// What a client can be asked, reduced to what the protocol knows.
///
/// Sessions are kept for each of its values: of what a client may write into it, only the flags of
/// the protocol make another one, so that there are a few dozen at most.
enum AskableCapabilities {
    /// Without that of roots, that their changes are told: only a session of the client's own can
    /// tell them.
    private static let flags: [(kind: String, names: [String])] = [
        ("elicitation", ["form", "url"]), ("roots", []), ("sampling", ["context", "tools"]),
    ]

    /// The known members of a client's capabilities, each in its only form.
    static func of(_ capabilities: JSONObject) -> JSONObject {
        var reduced = JSONObject()
        for (kind, names) in flags {
            guard let given = capabilities[kind]?.object else { continue }
            var own = JSONObject()
            for name in names where given[name]?.object != nil {
                own.append(key: name, value: .object(JSONObject()))
            }
            reduced.append(key: kind, value: .object(own))
        }
        return reduced
    }
}
