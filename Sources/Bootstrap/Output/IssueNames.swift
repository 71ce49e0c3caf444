import Domain
package import Store

/// How issues that are shown together are told apart.
///
/// `PROJ-1` may be an issue of two Jiras, and `acme/web#1` one of GitHub and one of GitLab: where a
/// key stands for several of the issues shown, the tracker's name comes before it.
package struct IssueNames: Sendable {
    /// In UTF-8, since equal text may be two keys.
    private let ambiguous: Set<[UInt8]>

    /// Compares the keys of all issues that will be shown.
    package init(_ issues: some Sequence<IssueSummary>) {
        var owners: [[UInt8]: IssueID] = [:]
        var ambiguous: Set<[UInt8]> = []
        for issue in issues {
            let key = Array(issue.key.utf8)
            if let owner = owners.updateValue(issue.issue, forKey: key), owner != issue.issue {
                ambiguous.insert(key)
            }
        }
        self.ambiguous = ambiguous
    }

    /// The key, with its tracker where the key alone does not tell.
    package func name(of issue: IssueSummary) -> String {
        let key = singleLine(issue.key)
        guard ambiguous.contains(Array(issue.key.utf8)) else { return key }
        return "\(singleLine(issue.tracker)): \(key)"
    }

    /// One line for people: name, state, title.
    package func line(of issue: IssueSummary) -> String {
        let state = issue.state == .closed ? " (closed)" : ""
        return "\(name(of: issue))\(state)  \(singleLine(issue.title))"
    }
}
