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
        allowed = try AllowedAddresses.read(
            value("PRELOOP_UPSTREAM_ALLOW"),
            variable: "PRELOOP_UPSTREAM_ALLOW"
        )
        variables = AllowedAddresses.list(value("PRELOOP_UPSTREAM_ENV"))
        allowsPrograms = try Settings.isAllowed(value, "PRELOOP_UPSTREAM_PROGRAMS")
    }
}
