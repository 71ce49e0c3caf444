package import Domain

/// What a server says of itself.
package struct ServerDescription: Sendable, Equatable {
    package var name: String
    package var title: String
    package var version: String
    /// For the model: what the tools are good for together; nil for nothing.
    package var instructions: String?
    /// Whether changes of the lists are told that it has.
    package var tellsListChanges: Bool
    /// For how long a client may keep the list of tools without asking again.
    package var listLifetime: Duration
    /// Whether calls that wait are given as tasks to clients that take them.
    package var offersTasks = false
    /// What is handed on to other servers.
    package var forwarded: Forwarding = []
    /// Capabilities of other servers that mean nothing to this one: `extensions` and
    /// `experimental`, each an object.
    package var declared = JSONObject()

    /// Parts of the protocol that other servers are asked for.
    package struct Forwarding: OptionSet, Sendable, Hashable {
        package let rawValue: Int

        package init(rawValue: Int) { self.rawValue = rawValue }

        /// Resources and their templates.
        package static let resources = Forwarding(rawValue: 1)
        package static let prompts = Forwarding(rawValue: 2)
        /// Completions of arguments of prompts and templates.
        package static let completions = Forwarding(rawValue: 4)
        /// Changes of resources, to those who have subscribed to them.
        package static let subscriptions = Forwarding(rawValue: 8)
    }

    package init(
        name: String,
        title: String,
        version: String,
        instructions: String? = nil,
        tellsListChanges: Bool = false,
        listLifetime: Duration = .seconds(60)
    ) {
        self.name = name
        self.title = title
        self.version = version
        self.instructions = instructions
        self.tellsListChanges = tellsListChanges
        self.listLifetime = listLifetime
    }

    /// Identifies tasks among the extensions.
    package static let tasksExtension = "io.modelcontextprotocol/tasks"

    /// The `Implementation` of a revision.
    func implementation(for version: ProtocolVersion) -> JSONValue {
        var object = JSONObject()
        object.append(key: "name", value: .string(name))
        if version.hasStructuredContent { object.append(key: "title", value: .string(title)) }
        object.append(key: "version", value: .string(self.version))
        return .object(object)
    }

    /// What the server can do, the same in all revisions.
    var capabilities: JSONValue {
        var object = JSONObject()
        object.append(key: "tools", value: ["listChanged": .bool(tellsListChanges)])
        object.append(key: "logging", value: .object(JSONObject()))
        for (part, key) in [
            (Forwarding.resources, "resources"), (.prompts, "prompts"),
            (.completions, "completions"),
        ] where forwarded.contains(part) {
            var abilities = JSONObject()
            if part == .resources, forwarded.contains(.subscriptions) {
                abilities.append(key: "subscribe", value: true)
            }
            if tellsListChanges, part != .completions {
                abilities.append(key: "listChanged", value: true)
            }
            object.append(key: key, value: .object(abilities))
        }
        for member in declared.members { object.append(key: member.key, value: member.value) }
        return .object(object)
    }

    /// The lists whose changes are told.
    var toldLists: ListKinds {
        guard tellsListChanges else { return [] }
        var kinds: ListKinds = .tools
        if forwarded.contains(.prompts) { kinds.insert(.prompts) }
        if forwarded.contains(.resources) { kinds.insert(.resources) }
        return kinds
    }

    /// Whether a method is handed on to other servers.
    func forwards(_ method: String, in era: ProtocolVersion.Era) -> Bool {
        switch method {
        // The newer era subscribes by `subscriptions/listen`.
        case "resources/subscribe", "resources/unsubscribe":
            era == .legacy && forwarded.contains(.subscriptions)
        case "resources/list", "resources/templates/list", "resources/read":
            forwarded.contains(.resources)
        case "prompts/list", "prompts/get": forwarded.contains(.prompts)
        case "completion/complete": forwarded.contains(.completions)
        default: false
        }
    }

    /// The answer to `initialize`.
    func initializeResult(_ version: ProtocolVersion) -> JSONObject {
        var result = JSONObject()
        result.append(key: "protocolVersion", value: .string(version.rawValue))
        result.append(key: "capabilities", value: capabilities)
        result.append(key: "serverInfo", value: implementation(for: version))
        if let instructions { result.append(key: "instructions", value: .string(instructions)) }
        return result
    }

    /// The answer to `server/discover`, without what every modern result has.
    func discoverResult() -> JSONObject {
        var result = JSONObject()
        result.append(key: "supportedVersions", value: JSONValue(ProtocolVersion.advertised))
        var capabilities = capabilities.object ?? JSONObject()
        if offersTasks {
            var extensions = capabilities["extensions"]?.object ?? JSONObject()
            extensions[Self.tasksExtension] = .object(JSONObject())
            capabilities["extensions"] = .object(extensions)
        }
        result.append(key: "capabilities", value: .object(capabilities))
        if let instructions { result.append(key: "instructions", value: .string(instructions)) }
        return result
    }
}
