package import Domain

// Services answer with success to what they leave out, so that what they show is compared with what
// was asked. What they do to a value without changing its meaning is no difference: spaces at its
// ends, line ends, the case of names.

extension WrittenIssue {
    /// Adds a warning for each thing that a change asked for and that the tracker does not show.
    ///
    /// The state is compared apart, by ``note(unmet:)-(StateWish?)`` and Jira's own words.
    ///
    /// - Parameters:
    ///   - change: What was asked for; nil where equality means nothing.
    ///   - labels: The labels that were sent, those of a priority among them.
    mutating func note(unmet change: IssueChange, labels: LabelChange?) {
        if let title = change.title, plainWords(title) != plainWords(issue.title) {
            warnings.append("the tracker did not take the title: it shows \(shown(issue.title))")
        }
        if let body = change.body, !haveSameLines(body, issue.body) {
            warnings.append(
                "the tracker did not take the description as it was given: read what it shows"
            )
        }
        if let type = change.type { note(unmet: type, shown: issue.type, what: "type") }
        note(unmet: labels)
        if let names = change.assignees {
            note(missing: names, from: issue.assignees, what: "assignees")
            note(kept: issue.assignees, besides: names, what: "assignees")
        }
    }

    /// The half of a call that was done, where the other half was refused: the issue is there, and
    /// doing all of it again would make another one.
    mutating func note(created status: String?, but error: TrackerError) {
        let wish = status.map { "brought to `\($0)`" } ?? "brought to its state"
        warnings.append("it was created, but not \(wish): \(error)")
    }

    /// Adds a warning for a state, or the reason of a closed one, that the tracker does not show.
    mutating func note(unmet wish: StateWish?) {
        guard let wish else { return }
        guard issue.state == wish.state else {
            return note(unmet: wish.state.rawValue, shown: issue.state.rawValue, what: "state")
        }
        guard let reason = wish.reason, issue.kind == .issue else { return }
        note(unmet: reason, shown: issue.status, what: "reason")
    }

    /// Adds a warning for a word that is not the one the tracker shows.
    mutating func note(unmet wanted: String, shown present: String?, what: String) {
        guard plainWords(wanted).lowercased() != present.map(plainWords)?.lowercased() else {
            return
        }
        let instead = present.map { shown($0) } ?? "none"
        warnings.append(
            "the tracker did not take the \(what) \(shown(wanted)): it shows \(instead)"
        )
    }

    /// Adds a warning for what was asked for and is not there.
    mutating func note(missing wanted: [String], from present: [String], what: String) {
        let missing = difference(wanted, present)
        guard !missing.isEmpty else { return }
        warnings.append(
            "the tracker left out the \(what) \(listing(missing)): the token may lack the right to "
                + "set them, or they do not exist"
        )
    }

    private mutating func note(unmet labels: LabelChange?) {
        switch labels {
        case .set(let names):
            note(missing: names, from: issue.labels, what: "labels")
            note(kept: issue.labels, besides: names, what: "labels")
        case .change(let added, let removed):
            note(missing: added, from: issue.labels, what: "labels")
            let gone = difference(removed, added)
            note(kept: issue.labels, besides: difference(issue.labels, gone), what: "labels")
        case nil: break
        }
    }

    private mutating func note(kept present: [String], besides wanted: [String], what: String) {
        let kept = difference(present, wanted)
        guard !kept.isEmpty else { return }
        warnings.append("the tracker kept the \(what) \(listing(kept)), which were to go")
    }
}

extension PullRequest {
    /// Adds a warning for what only pull requests have, was asked for and is not shown.
    ///
    /// Of reviewers people alone: teams are shown by other names than they are asked by.
    mutating func note(unmet change: PullRequestChange) {
        var written = WrittenIssue(issue)
        if let branch = change.targetBranch {
            written.note(unmet: branch, shown: targetBranch, what: "target branch")
        }
        let people = (change.reviewers ?? []).filter { !$0.contains("/") }
        written.note(missing: people, from: reviewers, what: "reviewers")
        warnings += written.warnings
        guard let wanted = change.isDraft, wanted != isDraft else { return }
        warnings.append("the tracker did not make it \(wanted ? "a draft" : "ready for review")")
    }
}

extension IssueChange {
    /// What of a draft the tracker's answer is compared with; a tracker may give an issue assignees
    /// of its own, and a text where none was given.
    init(_ draft: IssueDraft) {
        self.init()
        title = draft.title
        body = draft.body.isEmpty ? nil : draft.body
        type = draft.type
    }
}

extension Comment {
    /// A warning when the tracker shows another text than the one it was given, behind a quotation
    /// or alone: GitLab carries out commands that stand in it.
    ///
    /// Nil also for Jira's comments: their form is another one, and Jira refuses what it does not
    /// take.
    package func warning(given text: String) -> String? {
        guard source == nil, !plainLines(body).hasSuffix(plainLines(text)) else { return nil }
        return "the tracker did not take the comment as it was given: read what it shows"
    }
}

/// Whether two texts say the same but for line ends and spaces at the ends of lines.
private func haveSameLines(_ left: String, _ right: String) -> Bool {
    haveEqualBytes(left, right) || plainLines(left) == plainLines(right)
}

private func plainLines(_ text: String) -> String {
    let lines = withLineFeeds(sanitized(text)).utf8.split(
        separator: 0x0A,
        omittingEmptySubsequences: false
    )
    let ends = lines.map { line in
        let rest = line.reversed().drop { $0 == 0x20 || $0 == 0x09 }
        return String(decoding: Array(rest.reversed()), as: UTF8.self)
    }
    return String(trimming: ends.joined(separator: "\n"))
}

/// The words with one space between them.
private func plainWords(_ text: String) -> String {
    sanitized(text).split(whereSeparator: \.isWhitespace).joined(separator: " ")
}

/// The names of the first list that the second one lacks, in whatever case.
private func difference(_ names: [String], _ others: [String]) -> [String] {
    let have = Set(others.map { plainWords($0).lowercased() })
    return names.filter { !have.contains(plainWords($0).lowercased()) }
}

private func listing(_ names: [String]) -> String {
    names.map { "`\($0)`" }.joined(separator: ", ")
}

/// A text of the tracker's for one line of a warning.
private func shown(_ text: String) -> String {
    let words = plainWords(text)
    // What is longer is told by its beginning.
    return words.count > 80 ? "`\(words.prefix(80))…`" : "`\(words)`"
}

extension String {
    /// Without white space at both ends.
    fileprivate init(trimming text: String) {
        let start = text.drop { $0.isWhitespace }
        guard let end = start.lastIndex(where: { !$0.isWhitespace }) else {
            self = ""
            return
        }
        self = String(start[...end])
    }
}
