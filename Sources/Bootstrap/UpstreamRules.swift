import HTTPClient

/// What an operator allows other MCP servers, as the environment says it.
package struct UpstreamRules: Sendable, Equatable {
    /// Networks, addresses and host names besides the public Internet.
    package var allowed: [String]
    /// Variables that `${NAME}` may stand for.
    package var variables: [String]
    /// Whether users of the server may add programs of its machine.
    package var allowsPrograms: Bool

    /// Reads the variables.
    init(_ value: (String) -> String?) throws(CommandFailure) {
        allowed = Self.list(value("PRELOOP_UPSTREAM_ALLOW"))
        for entry in allowed
        where AddressRange(entry) == nil && entry.contains(where: { "/: ".contains($0) }) {
            throw CommandFailure(
                .usage,
                "`PRELOOP_UPSTREAM_ALLOW` holds `\(entry)`",
                hint: "name networks such as 10.0.0.0/8, addresses and hosts, separated by commas"
            )
        }
        variables = Self.list(value("PRELOOP_UPSTREAM_ENV"))
        switch value("PRELOOP_UPSTREAM_PROGRAMS") {
        case nil, "deny": allowsPrograms = false
        case "allow": allowsPrograms = true
        case let other?:
            throw CommandFailure(
                .usage,
                "`PRELOOP_UPSTREAM_PROGRAMS` is `\(other)`",
                hint: "set it to `allow` or `deny`, or not at all"
            )
        }
    }

    private static func list(_ text: String?) -> [String] {
        (text ?? "").split(separator: ",").map { part in
            String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }.filter { !$0.isEmpty }
    }
}
