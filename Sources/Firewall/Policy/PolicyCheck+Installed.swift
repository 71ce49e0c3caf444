import Domain

extension PolicyReader {
    /// Warns of servers that are not as the policy says: applying it neither adds nor changes any.
    mutating func checkServers(_ document: PolicyDocument, _ outside: PolicySurroundings) {
        guard let addresses = outside.addresses, !outside.trustsNames else { return }
        for (index, server) in document.servers.enumerated() {
            let path = "$.mcp_servers.\(index)"
            let name = "the server `\(sanitized(server.name))`"
            guard let address = addresses[server.name] else {
                fields.warn(
                    "\(name) is not installed, and no policy does that: `preloop servers add` does",
                    at: places[path],
                    path
                )
                continue
            }
            // A program has no address, and what stands in a variable is not known here.
            guard !address.isEmpty, !server.url.contains("${"),
                !haveEqualBytes(address, server.url)
            else { continue }
            fields.warn(
                "\(name) is installed with another address, which stays as it is",
                at: places[path],
                path
            )
        }
    }

    /// Warns of an entry that no tool fits, where it is known which there are.
    mutating func checkMatches(
        _ tool: PolicyDocument.Tool,
        _ outside: PolicySurroundings,
        _ path: String
    ) {
        guard let tools = outside.tools else { return }
        let selector = ToolSelector(name: tool.name, source: tool.source)
        guard !tools.contains(where: selector.matches) else { return }
        if case .server(let pattern) = selector.source, pattern.isExact {
            // Of a server that is not there it is said that it is not.
            let isThere = tools.contains { other in other.server.map(pattern.matches) ?? false }
            guard isThere else { return }
        }
        let names = tools.map { other in other.server.map { "\($0)/\(other.name)" } ?? other.name }
        let hint = fields.hint(for: tool.name, among: names, .warning)
        fields.warn(
            "no tool is called `\(sanitized(tool.name))`, so nothing matches yet\(hint)",
            at: places[path],
            path
        )
    }

    /// Warns of an entry that is for the gateway's own tools and, as far as is known, for no other.
    mutating func checkExemption(
        of tool: PolicyDocument.Tool,
        _ outside: PolicySurroundings,
        _ path: String
    ) {
        let selector = ToolSelector(name: tool.name, source: tool.source)
        let exempt = ToolIdentity.namesOfGateway.map { ToolIdentity(name: $0) }
        guard exempt.contains(where: selector.matches) else { return }
        if let tools = outside.tools {
            let isForOthers = tools.contains { !$0.isOfGateway && selector.matches($0) }
            guard !isForOthers else { return }
        } else if !selector.name.isExact {
            // Of a pattern only those who know all tools can tell.
            return
        }
        fields.warn(
            "no rule is asked about the gateway's own tools, by which callers wait for approvals: "
                + "what is said of `\(sanitized(tool.name))` has no effect",
            at: places[path],
            path
        )
    }
}
