import Crypto
package import Domain
package import Firewall

/// Entries of a policy one by one: how they are named, and how one is changed.
///
/// A tool's identifier is made of its source and name. A rule's is the one it has in the document,
/// else one made of what it says; changing such a rule writes the identifier into it, so that it
/// stays.
package enum PolicyEntries {
    /// The identifier of a tool's entry.
    package static func identifier(of tool: PolicyDocument.Tool) -> String {
        digest("\(tool.source ?? "")\u{0}\(tool.name)", bytes: 8)
    }

    /// The identifiers of a tool's rules, in their order.
    package static func identifiers(ofRulesIn tool: PolicyDocument.Tool) -> [String] {
        var seen: [String: Int] = [:]
        let owner = identifier(of: tool)
        return tool.rules.map { rule in
            if let id = rule.id { return id }
            let id = digest(owner + rule.json.serializedText(), bytes: 8)
            let count = seen[id, default: 0]
            seen[id] = count + 1
            return count == 0 ? id : "\(id)-\(count + 1)"
        }
    }

    /// The place of a tool's entry.
    package static func place(
        ofTool id: String,
        in document: PolicyDocument
    ) throws(PolicyError) -> Int {
        guard let place = document.tools.firstIndex(where: { identifier(of: $0) == id }) else {
            throw .unknownEntry(id: id)
        }
        return place
    }

    /// The place of a rule: its tool's and its own.
    package static func place(
        ofRule id: String,
        in document: PolicyDocument
    ) throws(PolicyError) -> (tool: Int, rule: Int) {
        for (index, tool) in document.tools.enumerated() {
            if let place = identifiers(ofRulesIn: tool).firstIndex(of: id) {
                return (index, place)
            }
        }
        throw .unknownEntry(id: id)
    }

    // MARK: - Changes

    /// Adds a tool's entry.
    package static func add(
        _ tool: PolicyDocument.Tool,
        to document: inout PolicyDocument
    ) throws(PolicyError) -> String {
        let id = identifier(of: tool)
        guard !document.tools.contains(where: { identifier(of: $0) == id }) else {
            throw .duplicate(name: tool.selectorText)
        }
        document.tools.append(tool)
        return id
    }

    /// Changes what is said about a tool; its rules stay.
    package static func update(
        tool id: String,
        to tool: PolicyDocument.Tool,
        in document: inout PolicyDocument
    ) throws(PolicyError) -> String {
        let place = try place(ofTool: id, in: document)
        let new = identifier(of: tool)
        guard new == id || !document.tools.contains(where: { identifier(of: $0) == new }) else {
            throw .duplicate(name: tool.selectorText)
        }
        var tool = tool
        tool.rules = document.tools[place].rules
        document.tools[place] = tool
        return new
    }

    /// Adds a rule at the end of a tool's, under an identifier of its own.
    package static func add(
        _ rule: PolicyDocument.Rule,
        toTool id: String,
        in document: inout PolicyDocument
    ) throws(PolicyError) -> String {
        let place = try place(ofTool: id, in: document)
        var rule = rule
        let new = rule.id ?? randomIdentifier()
        rule.id = new
        document.tools[place].rules.append(rule)
        return new
    }

    /// Puts a rule in the place of another.
    package static func update(
        rule id: String,
        to rule: PolicyDocument.Rule,
        in document: inout PolicyDocument
    ) throws(PolicyError) {
        let place = try place(ofRule: id, in: document)
        var rule = rule
        rule.id = id
        document.tools[place.tool].rules[place.rule] = rule
    }

    /// Removes a rule.
    package static func remove(
        rule id: String,
        from document: inout PolicyDocument
    ) throws(PolicyError) {
        let place = try place(ofRule: id, in: document)
        document.tools[place.tool].rules.remove(at: place.rule)
    }

    /// Puts a tool's rules in an order, all at once.
    ///
    /// The order is that of asking afterwards: the priorities stay the same and are handed out
    /// anew, so that the rules stand as before among those of other entries.
    package static func reorder(
        _ ids: [String],
        ofTool id: String,
        in document: inout PolicyDocument
    ) throws(PolicyError) {
        let place = try place(ofTool: id, in: document)
        let tool = document.tools[place]
        let known = identifiers(ofRulesIn: tool)
        guard ids.count == known.count, Set(ids) == Set(known) else { throw .incompleteOrder }
        let ordered = ids.compactMap { id in known.firstIndex(of: id).map { tool.rules[$0] } }
        let priorities = tool.rules.map(\.effectivePriority).sorted()
        document.tools[place].rules = zip(zip(ids, ordered), priorities).map { named, priority in
            var rule = named.1
            // What was named by what it said keeps its name.
            rule.id = named.0
            // One that names none keeps none where that says the same.
            if rule.effectivePriority != priority { rule.priority = priority }
            return rule
        }
    }

    // MARK: - Reading

    /// A tool's entry as a policy's file would say it.
    package static func tool(_ json: JSONValue) throws(PolicyError) -> PolicyDocument.Tool {
        let document: JSONValue = ["metadata": ["name": "entry"], "tools": [json]]
        var outside = PolicySurroundings()
        // Names are looked for in the whole policy, when the entry is in it.
        outside.trustsNames = true
        let reading = PolicyDocument.read(document.serializedText(), outside: outside)
        guard let tool = reading.document?.tools.first else {
            let problems = reading.problems.map { problem in
                var problem = problem
                // The place is one of a text that nobody has seen.
                problem.position = nil
                return problem
            }
            throw .invalid(problems)
        }
        return tool
    }

    /// A rule as a policy's file would say it.
    package static func rule(_ json: JSONValue) throws(PolicyError) -> PolicyDocument.Rule {
        guard let rule = try tool(["name": "entry", "conditions": [json]]).rules.first else {
            throw .malformed(what: "the rule cannot be read")
        }
        return rule
    }

    private static func digest(_ text: String, bytes: Int) -> String {
        hexadecimal(SHA256.hash(data: Array(text.utf8)).prefix(bytes))
    }

    private static func randomIdentifier() -> String {
        "r-" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
    }
}
