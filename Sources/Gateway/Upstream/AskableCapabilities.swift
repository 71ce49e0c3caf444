import Domain

/// What a client can be asked, reduced to what the protocol knows.
///
/// Sessions are kept for each of its values: of what a client may write into it, only the flags of
/// the protocol make another one, so that there are a few dozen at most.
enum AskableCapabilities {
    private static let flags = [
        ("elicitation", ["form", "url"]), ("roots", ["listChanged"]),
        ("sampling", ["context", "tools"]),
    ]

    /// The known members of a client's capabilities, each in its only form.
    static func of(_ capabilities: JSONObject) -> JSONObject {
        var reduced = JSONObject()
        for (kind, names) in flags {
            guard let given = capabilities[kind]?.object else { continue }
            var own = JSONObject()
            for name in names {
                switch (kind, given[name]) {
                case ("roots", .bool(true)?): own.append(key: name, value: .bool(true))
                case ("elicitation", .object?), ("sampling", .object?):
                    own.append(key: name, value: .object(JSONObject()))
                default: break
                }
            }
            reduced.append(key: kind, value: .object(own))
        }
        return reduced
    }
}
