import Domain

// Jira refuses most of what it does not take, and what it shows of people, priorities and types is
// in the language of the token's owner: words of its own are compared only where that is no matter.

extension WrittenIssue {
    /// Adds a warning for each field that was sent and that the issue does not show.
    ///
    /// - Parameters:
    ///   - change: What was asked for.
    ///   - sent: The fields as they were sent.
    ///   - fields: The fields as they came back.
    ///   - labels: The labels that were asked for.
    mutating func note(
        unmet change: IssueChange,
        _ sent: JSONObject,
        shown fields: JSONValue,
        labels: LabelChange?
    ) {
        var plain = IssueChange()
        plain.title = change.title
        note(unmet: plain, labels: labels)
        if let text = sent["description"], !saysTheSame(text, fields["description"]) {
            warnings.append(
                "the tracker did not take the description as it was given: read what it shows"
            )
        }
        if let person = sent["assignee"], !isSamePerson(person, fields["assignee"]) {
            let name = change.assignees?.first ?? "nobody"
            note(unmet: name, shown: issue.assignees.first, what: "assignee")
        }
        for (wanted, what, shown) in [
            (change.priority, "priority", issue.priority), (change.type, "type", issue.type),
            (change.resolution, "resolution", fields["resolution"]?["name"]?.string),
        ] {
            // Another word may be a translation; none is none.
            if let wanted, shown == nil { note(unmet: wanted, shown: nil, what: what) }
        }
    }

    /// Adds a warning for words of Jira's that were to change and are what they were.
    mutating func note(unmet change: IssueChange, where before: Issue) {
        for (wanted, what, old, shown) in [
            (change.priority, "priority", before.priority, issue.priority),
            (change.type, "type", before.type, issue.type),
        ] {
            guard let wanted, let old, let shown, haveEqualBytes(old, shown) else { continue }
            note(unmet: wanted, shown: shown, what: what)
        }
    }

    /// Adds a warning for the state that a step was said to lead to, when it is another one.
    mutating func note(reached status: String?) {
        guard let status else { return }
        note(unmet: status, shown: issue.status, what: "state")
    }
}

/// Whether two texts of Jira's, documents or markup, have the same letters and digits: Jira may
/// write the rest in another way.
private func saysTheSame(_ sent: JSONValue, _ shown: JSONValue?) -> Bool {
    func letters(_ value: JSONValue?) -> [Character] {
        JiraText(value).markdown.filter { $0.isLetter || $0.isNumber }.map { $0 }
    }
    return letters(sent) == letters(shown)
}

/// Whether an answer shows the person it was given, by what the person was named with.
private func isSamePerson(_ sent: JSONValue, _ shown: JSONValue?) -> Bool {
    for member in ["accountId", "name"] {
        guard let name = sent[member]?.string else { continue }
        guard let person = shown, !person.isNull else { return false }
        // An answer that leaves the identifier out tells nothing.
        return person[member]?.string.map { $0.lowercased() == name.lowercased() } ?? true
    }
    return shown?.isNull ?? true
}
