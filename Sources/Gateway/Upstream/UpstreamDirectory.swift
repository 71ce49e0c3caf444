import Domain

/// Which server has which resource, template and prompt, as the latest lists said; a value.
struct UpstreamDirectory: Sendable {
    /// A prompt by the name it has here.
    struct Prompt: Sendable {
        var server: UpstreamServer
        /// What its server calls it.
        var name: String
    }

    private(set) var resources: [String: UpstreamServer] = [:]
    private(set) var templates: [(template: String, server: UpstreamServer)] = []
    private(set) var prompts: [String: Prompt] = [:]
    /// Servers that have resources.
    private(set) var resourceServers: [UpstreamServer] = []

    /// Takes the resources of servers, and gives each of them once: where two servers have the
    /// same, the first by name has it.
    mutating func setResources(_ lists: [(UpstreamServer, [JSONObject])]) -> [JSONObject] {
        resources = [:]
        resourceServers = lists.map(\.0)
        var shown: [JSONObject] = []
        for (server, list) in lists {
            for resource in list {
                guard let uri = resource["uri"]?.string, resources[uri] == nil else { continue }
                resources[uri] = server
                shown.append(resource)
            }
        }
        return shown
    }

    /// The same for templates.
    mutating func setTemplates(_ lists: [(UpstreamServer, [JSONObject])]) -> [JSONObject] {
        templates = []
        var shown: [JSONObject] = []
        for (server, list) in lists {
            for template in list {
                guard let text = template["uriTemplate"]?.string,
                    !templates.contains(where: { haveEqualBytes($0.template, text) })
                else { continue }
                templates.append((text, server))
                shown.append(template)
            }
        }
        return shown
    }

    /// Takes the prompts of servers and gives them by the names they have here.
    mutating func setPrompts(_ lists: [(UpstreamServer, [JSONObject])]) -> [JSONObject] {
        prompts = [:]
        var candidates: [(ToolNaming.Candidate, UpstreamServer, JSONObject)] = []
        for (server, list) in lists {
            for prompt in list {
                guard let name = prompt["name"]?.string else { continue }
                let candidate = ToolNaming.Candidate(
                    server: server.name,
                    prefix: server.prefix,
                    tool: name
                )
                candidates.append((candidate, server, prompt))
            }
        }
        let assignments = ToolNaming(reserved: []).assign(candidates.map(\.0))
        var shown: [JSONObject] = []
        for (assignment, (candidate, server, prompt)) in zip(assignments, candidates) {
            guard let name = assignment.name else { continue }
            prompts[name] = Prompt(server: server, name: candidate.tool)
            var prompt = prompt
            prompt["name"] = .string(name)
            shown.append(prompt)
        }
        return shown
    }

    /// The server that a resource is asked of; nil when none can be told.
    func server(ofResource uri: String) -> UpstreamServer? {
        if let server = resources[uri] { return server }
        if let match = templates.first(where: { Self.matches(uri, $0.template) }) {
            return match.server
        }
        return resourceServers.count == 1 ? resourceServers[0] : nil
    }

    /// The server of a template.
    func server(ofTemplate template: String) -> UpstreamServer? {
        templates.first { haveEqualBytes($0.template, template) }?.server
    }

    /// Whether a URI may be one of a template (RFC 6570): its literal parts are there in order.
    static func matches(_ uri: String, _ template: String) -> Bool {
        var literals: [[UInt8]] = [[]]
        var isExpression = false
        for byte in template.utf8 {
            switch byte {
            case UInt8(ascii: "{"): isExpression = true
            case UInt8(ascii: "}"):
                isExpression = false
                literals.append([])
            default: if !isExpression { literals[literals.count - 1].append(byte) }
            }
        }
        var rest = Array(uri.utf8)[...]
        guard let first = literals.first, rest.starts(with: first) else { return false }
        rest = rest.dropFirst(first.count)
        guard literals.count > 1 else { return rest.isEmpty }
        for literal in literals.dropFirst().dropLast() where !literal.isEmpty {
            guard let place = rest.indices.first(where: { rest[$0...].starts(with: literal) })
            else { return false }
            rest = rest[(place + literal.count)...]
        }
        guard let last = literals.last, !last.isEmpty else { return true }
        return rest.count >= last.count && rest.suffix(last.count).elementsEqual(last)
    }
}
