package import Domain

extension Finding {
    /// The form of `--json`.
    package var json: JSONValue {
        [
            "check": .string(subject), "status": .string(grade.rawValue),
            "detail": .string(detail), "advice": JSONValue(advice),
        ]
    }
}
