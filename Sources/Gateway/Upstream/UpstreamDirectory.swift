import Domain

/// Which server has which resource, template and prompt, as the latest lists said; a value.
///
/// Nobody gets a request that may be meant for another: what two servers have, none is asked for.
/// Names are compared by their bytes.
struct UpstreamDirectory: Sendable {
    /// A prompt by the name it has here.
    struct Prompt: Sendable {
        var server: UpstreamServer
        /// What its server calls it.
        var name: String
    }

    /// What a server lists of a kind: what the items are asked for by.
    private struct Listing: Sendable {
        var server: UpstreamServer
        var texts: [String]
        var keys: Set<[UInt8]>

        init(_ server: UpstreamServer, _ texts: [String]) {
            self.server = server
            self.texts = texts
            keys = Set(texts.map { Array($0.utf8) })
        }
    }

    /// A template, taken apart once.
    private struct Pattern: Sendable {
        var literals: [[UInt8]]
        var isDistinct: Bool

        init(_ template: String) {
            literals = UpstreamDirectory.literals(of: template)
            isDistinct = UpstreamDirectory.isDistinct(template)
        }
    }

    private var resources: [UpstreamServerID: Listing] = [:]
    private var templates: [UpstreamServerID: Listing] = [:]
    private var patterns: [UpstreamServerID: [Pattern]] = [:]
    private var promptLists: [UpstreamServerID: (server: UpstreamServer, items: [JSONObject])] = [:]
    private var prompts: [[UInt8]: Prompt] = [:]
    /// Servers whose resources could not be asked for the last time.
    private var silent: Set<UpstreamServerID> = []
    private var hasResources = false
    private var hasTemplates = false

    /// Whether only one server can have anything to read.
    private var isOfOne: Bool {
        silent.union(resources.keys).union(templates.keys).count < 2
    }

    /// Whether resources and templates were asked for.
    var isLoaded: Bool { hasResources && hasTemplates }

    /// Takes the resources of servers, and gives those that no other server has, each once.
    ///
    /// - Parameters:
    ///   - lists: What servers have that were asked.
    ///   - silent: Servers that were not asked, or gave no answer: what they had stays theirs.
    /// - Returns: What can be shown of the lists.
    mutating func setResources(
        _ lists: [(UpstreamServer, [JSONObject])],
        silent: Set<UpstreamServerID> = []
    ) -> [JSONObject] {
        resources = Self.updated(resources, "uri", lists, silent)
        self.silent = silent
        hasResources = true
        return Self.shown(lists, "uri") { owners(ofResource: $0).count == 1 }
    }

    /// The same for templates.
    mutating func setTemplates(
        _ lists: [(UpstreamServer, [JSONObject])],
        silent: Set<UpstreamServerID> = []
    ) -> [JSONObject] {
        templates = Self.updated(templates, "uriTemplate", lists, silent)
        patterns = templates.mapValues { $0.texts.map(Pattern.init) }
        self.silent = silent
        hasTemplates = true
        let isOfOne = isOfOne
        return Self.shown(lists, "uriTemplate") { text in
            owners(ofTemplate: text).count == 1 && (isOfOne || Self.isDistinct(text))
        }
    }

    private static func updated(
        _ listings: [UpstreamServerID: Listing],
        _ key: String,
        _ lists: [(UpstreamServer, [JSONObject])],
        _ silent: Set<UpstreamServerID>
    ) -> [UpstreamServerID: Listing] {
        var listings = listings.filter { silent.contains($0.key) }
        for (server, list) in lists {
            listings[server.id] = Listing(server, list.compactMap { $0[key]?.string })
        }
        return listings
    }

    private static func shown(
        _ lists: [(UpstreamServer, [JSONObject])],
        _ key: String,
        where isShown: (String) -> Bool
    ) -> [JSONObject] {
        var seen: Set<[UInt8]> = []
        var shown: [JSONObject] = []
        for (_, list) in lists {
            for item in list {
                guard let text = item[key]?.string, isShown(text),
                    seen.insert(Array(text.utf8)).inserted
                else { continue }
                shown.append(item)
            }
        }
        return shown
    }

    /// Takes the prompts of servers and gives them by the names they have here.
    mutating func setPrompts(
        _ lists: [(UpstreamServer, [JSONObject])],
        silent: Set<UpstreamServerID> = []
    ) -> [JSONObject] {
        promptLists = promptLists.filter { silent.contains($0.key) }
        for (server, list) in lists { promptLists[server.id] = (server, list) }
        var candidates: [(ToolNaming.Candidate, UpstreamServer, JSONObject)] = []
        let all = promptLists.values.sorted {
            $0.server.name.utf8.lexicographicallyPrecedes($1.server.name.utf8)
        }
        for (server, list) in all {
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
        prompts = [:]
        let asked = Set(lists.map(\.0.id))
        let assignments = ToolNaming(reserved: []).assign(candidates.map(\.0))
        var shown: [JSONObject] = []
        for (assignment, (candidate, server, prompt)) in zip(assignments, candidates) {
            guard let name = assignment.name else { continue }
            prompts[Array(name.utf8)] = Prompt(server: server, name: candidate.tool)
            var prompt = prompt
            prompt["name"] = .string(name)
            if asked.contains(server.id) { shown.append(prompt) }
        }
        return shown
    }

    /// The prompt that has a name here; nil for none.
    func prompt(named name: String) -> Prompt? { prompts[Array(name.utf8)] }

    /// The servers that list a resource, or have a template of it, by name.
    func owners(ofResource uri: String) -> [UpstreamServer] {
        let key = Array(uri.utf8)
        var found: [UpstreamServerID: UpstreamServer] = [:]
        for (id, listing) in resources where listing.keys.contains(key) {
            found[id] = listing.server
        }
        let isOfOne = isOfOne
        for (id, listing) in templates where found[id] == nil {
            let isMatch = patterns[id, default: []].contains {
                (isOfOne || $0.isDistinct) && Self.matches(key, $0.literals)
            }
            if isMatch { found[id] = listing.server }
        }
        return Self.sorted(found.values)
    }

    /// The servers that list a template, by name.
    func owners(ofTemplate template: String) -> [UpstreamServer] {
        let key = Array(template.utf8)
        return Self.sorted(
            templates.values.filter { $0.keys.contains(key) }.map(\.server)
        )
    }

    private static func sorted(_ servers: some Sequence<UpstreamServer>) -> [UpstreamServer] {
        servers.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    /// The server that a resource is asked of; nil when none can be told.
    ///
    /// What nobody lists is the matter of the only server with resources, where it is known to be
    /// the only one: servers have more than they list.
    func server(ofResource uri: String) -> UpstreamServer? {
        let owners = owners(ofResource: uri)
        if !owners.isEmpty { return owners.count == 1 ? owners[0] : nil }
        return isOfOne ? resources.values.first?.server : nil
    }

    /// The server of a template; nil when none can be told.
    func server(ofTemplate template: String) -> UpstreamServer? {
        let owners = owners(ofTemplate: template)
        return owners.count == 1 ? owners[0] : nil
    }

    /// More are not named.
    private static let maximumShared = 100

    /// Resources and templates of a server that another one lists, too, in the order of their
    /// bytes.
    func shared(of id: UpstreamServerID) -> [String] {
        let uris = resources[id]?.texts.filter { owners(ofResource: $0).count > 1 } ?? []
        let patterns = templates[id]?.texts.filter { owners(ofTemplate: $0).count > 1 } ?? []
        let sorted = (uris + patterns).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return Array(sorted.prefix(Self.maximumShared))
    }

    /// Schemes that many servers use: what tells one server's from another's is behind them.
    private static let commonSchemes = ["file", "ftp", "http", "https", "ws", "wss"]

    /// Whether a template names what it is of.
    ///
    /// It does by a scheme, and the authority where the scheme is one that many servers use.
    /// Others, such as `{+uri}`, would be of everything.
    static func isDistinct(_ template: String) -> Bool {
        let literal = template.utf8.prefix { $0 != UInt8(ascii: "{") }
        let scheme = literal.prefix { $0 != UInt8(ascii: ":") }
        guard !scheme.isEmpty, scheme.count < literal.count else { return false }
        let name = String(decoding: scheme, as: UTF8.self).lowercased()
        guard commonSchemes.contains(name) else { return true }
        // `file:///{path}` has an authority, the empty one.
        let rest = literal.dropFirst(scheme.count + 1)
        guard rest.starts(with: "//".utf8) else { return false }
        return rest.dropFirst(2).contains(UInt8(ascii: "/"))
    }

    /// Whether a URI may be one of a template (RFC 6570): its literal parts are there in order.
    static func matches(_ uri: String, _ template: String) -> Bool {
        matches(Array(uri.utf8), literals(of: template))
    }

    /// What stands before, between and behind the expressions of a template.
    private static func literals(of template: String) -> [[UInt8]] {
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
        return literals
    }

    private static func matches(_ uri: [UInt8], _ literals: [[UInt8]]) -> Bool {
        var rest = uri[...]
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
