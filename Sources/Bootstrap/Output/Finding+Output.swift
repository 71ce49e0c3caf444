package import Domain

extension Finding {
    /// The form of `--json`; `account` is there when it is of another account than the
    /// installation's own.
    package var json: JSONValue {
        var object = JSONObject()
        object.append(key: "check", value: .string(subject))
        object.append(key: "status", value: .string(grade.rawValue))
        object.append(key: "detail", value: .string(detail))
        object.append(key: "advice", value: JSONValue(advice))
        if let account { object.append(key: "account", value: .integer(account.rawValue)) }
        return .object(object)
    }
}
