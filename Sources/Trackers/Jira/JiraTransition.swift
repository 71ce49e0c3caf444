import Domain

/// One step of a workflow, as Jira offers it from where an issue is.
struct JiraTransition: Equatable {
    var id: String
    var name: String
    var status: String
    var category: String
    /// Names of the fields it cannot do without and that have no default.
    var required: [String]
    /// What it takes as a resolution; nil when it asks for none.
    var resolutions: [String]?
    /// Whether it came with its fields; old versions do not tell them.
    var tellsFields: Bool
    var isResolutionRequired: Bool

    init?(_ value: JSONValue) {
        guard let id = value["id"]?.string ?? value["id"]?.integer.map({ String($0) }),
            let status = value["to"]?["name"]?.string,
            value["isAvailable"]?.bool ?? true
        else { return nil }
        self.id = id
        self.status = sanitized(status)
        name = sanitized(value["name"]?.string ?? status)
        category = value["to"]?["statusCategory"]?["key"]?.string ?? ""
        let fields = value["fields"]?.object?.members ?? []
        tellsFields = value["fields"] != nil
        required = fields.filter { field in
            field.value["required"]?.bool == true && field.value["hasDefaultValue"]?.bool != true
        }.map(\.key)
        let resolution = value["fields"]?["resolution"]
        isResolutionRequired = resolution?["required"]?.bool == true
        resolutions = resolution.map { field in
            (field["allowedValues"]?.array ?? []).compactMap { $0["name"]?.string }
        }
    }

    var state: IssueState { category == "done" ? .closed : .open }

    var option: StatusOption {
        StatusOption(status: status, state: state, transition: name, requiredFields: required)
    }
}

extension [JiraTransition] {
    /// The step to a state by its name, else by the step's own name.
    func step(to status: String) -> JiraTransition? {
        first { $0.status.lowercased() == status.lowercased() }
            ?? first { $0.name.lowercased() == status.lowercased() }
    }

    /// The step that opens or closes: a closing one by preference to a state named for it, and with
    /// the wanted resolution; an opening one rather to what waits than to what is under way.
    func step(to state: IssueState, resolution: String?) -> JiraTransition? {
        let fitting = filter { $0.state == state }
        let names =
            state == .closed
            ? [resolution ?? "done", "done", "resolved", "closed"] : ["reopened", "open", "to do"]
        let named = names.lazy.compactMap { name in
            fitting.first { $0.status.lowercased() == name.lowercased() }
        }.first
        return named ?? fitting.first { $0.category == "new" } ?? fitting.first
    }

    /// The states that can be reached, for a refusal.
    var listing: String {
        isEmpty
            ? "no step is open to this token"
            : map { step in
                step.name == step.status ? "`\(step.status)`" : "`\(step.status)` (\(step.name))"
            }.joined(separator: ", ")
    }
}
