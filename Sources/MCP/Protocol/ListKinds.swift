import Domain

/// Lists of a server whose changes can be told: `notifications/…/list_changed`.
package struct ListKinds: OptionSet, Sendable, Hashable {
    package let rawValue: Int

    package init(rawValue: Int) { self.rawValue = rawValue }

    package static let tools = ListKinds(rawValue: 1)
    package static let prompts = ListKinds(rawValue: 2)
    /// Resources and their templates.
    package static let resources = ListKinds(rawValue: 4)

    /// How each is called: by a capability, and by what a stream of the newer era asks for.
    static let names: [(kind: ListKinds, capability: String, filter: String)] = [
        (.tools, "tools", "toolsListChanged"), (.prompts, "prompts", "promptsListChanged"),
        (.resources, "resources", "resourcesListChanged"),
    ]

    /// Those that the filter of `subscriptions/listen` names.
    init(filter: JSONObject) {
        self = Self.names.reduce(into: []) { kinds, name in
            if filter[name.filter]?.bool == true { kinds.insert(name.kind) }
        }
    }

    /// The notifications that tell of them.
    var methods: [(kind: ListKinds, method: String)] {
        Self.names.filter { contains($0.kind) }.map { name in
            (name.kind, "notifications/\(name.capability)/list_changed")
        }
    }
}
