import Domain
import Store

/// Reads references to issues by the projects they lie in, whether the issues are stored or not.
enum ReferenceReader {
    /// What a reference means.
    struct Meaning: Sendable, Equatable {
        var project: StoredProject
        var kind: IssueKind
        var number: Int
        var key: String
    }

    /// What a URL or a key means in each of the projects.
    ///
    /// - Parameters:
    ///   - reference: As a caller wrote it: `owner/repo#1`, `group/project!2`, `KEY-3`, or the URL
    ///     of a page or of what lies below it.
    ///   - kind: What it is where the reference does not tell: GitHub counts both in one row.
    ///   - projects: Those that are synchronised.
    /// - Returns: In their order; empty when it leads into none.
    static func meanings(
        of reference: String,
        kind: IssueKind,
        in projects: [StoredProject]
    ) -> [Meaning] {
        let page = page(reference)
        return projects.compactMap { project in
            page.map { ofPage($0, in: project) } ?? ofKey(reference, kind, in: project)
        }
    }

    /// A URL without query and fragment, in lower case; nil for what is no URL.
    private static func page(_ reference: String) -> String? {
        let reference = reference.lowercased()
        guard reference.hasPrefix("https://") || reference.hasPrefix("http://") else { return nil }
        return String(reference.prefix { $0 != "?" && $0 != "#" })
    }

    private static func ofKey(
        _ reference: String,
        _ kind: IssueKind,
        in project: StoredProject
    ) -> Meaning? {
        let (key, path) = (reference.lowercased(), project.path.lowercased())
        guard key.hasPrefix(path) else { return nil }
        let rest = key.dropFirst(path.count)
        guard let mark = rest.first, let number = number(rest.dropFirst()) else { return nil }
        switch mark {
        case "#": return meaning(project, kind, mark, number)
        case "!": return meaning(project, .pullRequest, mark, number)
        case "-" where !path.contains("/"): return meaning(project, .issue, mark, number)
        default: return nil
        }
    }

    private static let places: [(path: String, kind: IssueKind, mark: Character)] = [
        ("/issues/", .issue, "#"), ("/-/issues/", .issue, "#"), ("/-/work_items/", .issue, "#"),
        ("/pull/", .pullRequest, "#"), ("/-/merge_requests/", .pullRequest, "!"),
    ]

    private static func ofPage(_ page: String, in project: StoredProject) -> Meaning? {
        let base = project.url.lowercased()
        guard !base.isEmpty, page.hasPrefix(base) else { return nil }
        let rest = page.dropFirst(base.count)
        // Jira: `https://site/browse/KEY` and `https://site/browse/KEY-1`.
        if !project.path.contains("/") {
            guard rest.first == "-", let number = leadingNumber(rest.dropFirst()) else {
                return nil
            }
            return meaning(project, .issue, "-", number)
        }
        for place in places where rest.hasPrefix(place.path) {
            guard let number = leadingNumber(rest.dropFirst(place.path.count)) else { continue }
            return meaning(project, place.kind, place.mark, number)
        }
        return nil
    }

    private static func meaning(
        _ project: StoredProject,
        _ kind: IssueKind,
        _ mark: Character,
        _ number: Int
    ) -> Meaning {
        Meaning(
            project: project,
            kind: kind,
            number: number,
            key: "\(project.path)\(mark)\(number)"
        )
    }

    /// The number before the next part of a path: `12` in `12/files`.
    private static func leadingNumber(_ text: Substring) -> Int? {
        number(text.prefix { $0 != "/" })
    }

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }),
            let number = Int(text), number > 0
        else { return nil }
        return number
    }
}
