package import Domain
package import Store

extension IssueSummary {
    /// The form of every `--json` result.
    package var json: JSONValue {
        [
            "tracker": .string(tracker), "project": .string(projectPath), "key": .string(key),
            "kind": .string(kind.rawValue), "external_id": .string(externalID),
            "title": .string(title), "state": .string(state.rawValue), "url": .string(url),
            "created_at": .string(createdAt.iso8601), "updated_at": .string(updatedAt.iso8601),
        ]
    }
}

/// A score with two decimals, without a formatter.
///
/// - Parameter value: From 0 to 1 as a rule; clamped to ±1000.
/// - Returns: For instance `0.83`.
package func twoDecimals(_ value: Double) -> String {
    guard value.isFinite else { return "-" }
    let hundredths = Int((max(-1000, min(1000, value)) * 100).rounded())
    let digits = abs(hundredths) % 100
    let sign = hundredths < 0 ? "-" : ""
    return "\(sign)\(abs(hundredths) / 100).\(digits < 10 ? "0" : "")\(digits)"
}
