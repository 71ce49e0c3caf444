package import Domain

/// A difference between two policies.
package struct PolicyChange: Sendable, Equatable {
    /// What has happened to it.
    package enum Operation: String, Sendable {
        case add, remove, modify
    }

    /// Its place, such as `tools[github/create_issue].enabled`.
    package var path: String
    package var operation: Operation
    package var old: JSONValue?
    package var new: JSONValue?

    /// As answers have it.
    package var json: JSONValue {
        [
            "path": .string(path), "operation": .string(operation.rawValue),
            "old_value": old ?? .null, "new_value": new ?? .null,
        ]
    }
}

extension PolicyDocument {
    /// What is different in `other`, section by section in the order of the reference.
    package func changes(to other: PolicyDocument) -> [PolicyChange] {
        var changes: [PolicyChange] = []
        // A policy without a name is none: everything is new.
        let before = metadata.name.isEmpty ? nil : json["metadata"]
        compare(before, other.json["metadata"], "metadata", &changes)
        compare(
            servers.map { ($0.name, $0.json) },
            other.servers.map { ($0.name, $0.json) },
            "mcp_servers",
            &changes
        )
        compare(
            workflows.map { ($0.name, $0.json) },
            other.workflows.map { ($0.name, $0.json) },
            "approval_workflows",
            &changes
        )
        compare(
            tools.map { ($0.selectorText, $0.json) },
            other.tools.map { ($0.selectorText, $0.json) },
            "tools",
            &changes
        )
        compare(json["defaults"], other.json["defaults"], "defaults", &changes)
        let order = tools.map(\.selectorText)
        let later = other.tools.map(\.selectorText)
        // Entries of one closeness are asked in the order of the file.
        if order != later, order.sorted() == later.sorted() {
            changes.append(
                PolicyChange(
                    path: "tools",
                    operation: .modify,
                    old: .array(order.map(JSONValue.string)),
                    new: .array(later.map(JSONValue.string))
                )
            )
        }
        return changes
    }

    private func compare(
        _ old: [(name: String, value: JSONValue)],
        _ new: [(name: String, value: JSONValue)],
        _ section: String,
        _ changes: inout [PolicyChange]
    ) {
        var known: [ByteText: JSONValue] = [:]
        for entry in old { known[ByteText(entry.name)] = entry.value }
        for entry in new {
            let path = "\(section)[\(entry.name)]"
            guard let before = known.removeValue(forKey: ByteText(entry.name)) else {
                changes.append(
                    PolicyChange(path: path, operation: .add, old: nil, new: entry.value)
                )
                continue
            }
            compare(before, entry.value, path, &changes)
        }
        for entry in old where known[ByteText(entry.name)] != nil {
            changes.append(
                PolicyChange(
                    path: "\(section)[\(entry.name)]",
                    operation: .remove,
                    old: entry.value,
                    new: nil
                )
            )
        }
    }

    /// Member by member, one level deep: rules are told as a whole, for their order is part of it.
    private func compare(
        _ old: JSONValue?,
        _ new: JSONValue?,
        _ path: String,
        _ changes: inout [PolicyChange]
    ) {
        let (before, after) = (old?.object ?? JSONObject(), new?.object ?? JSONObject())
        for member in after.members {
            let known = before[member.key]
            guard known != member.value else { continue }
            changes.append(
                PolicyChange(
                    path: "\(path).\(member.key)",
                    operation: known == nil ? .add : .modify,
                    old: known,
                    new: member.value
                )
            )
        }
        for member in before.members where after[member.key] == nil {
            changes.append(
                PolicyChange(
                    path: "\(path).\(member.key)",
                    operation: .remove,
                    old: member.value,
                    new: nil
                )
            )
        }
    }

    /// The document with what a file says: entries of the same name are replaced, others stay.
    ///
    /// A default workflow in the file takes the place of another one.
    package func merged(with file: PolicyDocument) -> PolicyDocument {
        var merged = self
        merged.metadata = file.metadata
        Self.merge(&merged.servers, file.servers, \.name)
        if file.workflows.contains(where: { $0.isDefault == true }) {
            for index in merged.workflows.indices where merged.workflows[index].isDefault == true {
                merged.workflows[index].isDefault = nil
            }
        }
        Self.merge(&merged.workflows, file.workflows, \.name)
        Self.merge(&merged.tools, file.tools, \.selectorText)
        let given = file.defaults
        if let value = given.unknownTools { merged.defaults.unknownTools = value }
        if let value = given.requiresApprovalForNewTools {
            merged.defaults.requiresApprovalForNewTools = value
        }
        if let value = given.approvalWorkflow { merged.defaults.approvalWorkflow = value }
        if let value = given.inheritsFromParent { merged.defaults.inheritsFromParent = value }
        return merged
    }

    private static func merge<Element>(
        _ base: inout [Element],
        _ given: [Element],
        _ name: (Element) -> String
    ) {
        var places: [ByteText: Int] = [:]
        for (place, element) in base.enumerated() { places[ByteText(name(element))] = place }
        for element in given {
            if let place = places[ByteText(name(element))] {
                base[place] = element
            } else {
                base.append(element)
            }
        }
    }
}
