/// One line of a tracker's scope: what to read and what to leave.
///
/// A pattern names an organisation (`owner`), everything below it included, or a project
/// (`owner/repo`, `KEY`, `site.atlassian.net/KEY`). `*` and `?` stop at a slash, `**` does not.
/// Letters A–Z match either case, as they do in the services' own URLs.
package struct ScopeRule: Sendable, Hashable {
    /// What the rule does with what it matches.
    package var action: Action
    /// The pattern as the operator wrote it.
    package var pattern: String

    /// What a rule does with what it matches.
    package enum Action: String, Sendable, CaseIterable {
        case include
        case exclude
    }

    /// A rule as the operator wrote it.
    package init(action: Action, pattern: String) {
        self.action = action
        self.pattern = pattern
    }

    /// Whether the pattern matches the project itself or something it lies in.
    ///
    /// The project's path may or may not have the organisation's in front.
    package func matches(organization: String, project: String) -> Bool {
        matches(pathOrParent: project) || matches(pathOrParent: organization + "/" + project)
    }

    /// Whether the pattern matches the organisation itself or something it lies in.
    package func matches(organization: String) -> Bool {
        matches(pathOrParent: organization)
    }

    /// Matches the path and each of its parents: `group` covers `group/subgroup/project`.
    private func matches(pathOrParent path: String) -> Bool {
        let glob = GlobPattern(pattern)
        let bytes = Array(path.utf8)
        if glob.matches(bytes[...]) { return true }
        return bytes.indices.contains { index in
            bytes[index] == UInt8(ascii: "/") && glob.matches(bytes[..<index])
        }
    }
}

/// All rules of a tracker.
package struct Scope: Sendable, Hashable {
    /// The rules in the operator's order, which does not matter to the outcome.
    package var rules: [ScopeRule]

    /// The scope of these rules; without any, everything the token sees is read.
    package init(_ rules: [ScopeRule] = []) {
        self.rules = rules
    }

    /// Whether a project is read.
    ///
    /// It is when some include rule matches, or there is none, and no exclude rule matches: an
    /// exclusion wins wherever it stands.
    package func includes(organization: String, project: String) -> Bool {
        let matching = rules.filter { $0.matches(organization: organization, project: project) }
        guard !matching.contains(where: { $0.action == .exclude }) else { return false }
        return matching.contains { $0.action == .include }
            || !rules.contains { $0.action == .include }
    }

    /// Whether an organisation is left out as a whole, so that its projects need not be listed.
    package func excludes(organization: String) -> Bool {
        rules.contains { $0.action == .exclude && $0.matches(organization: organization) }
    }
}

/// A path pattern with `*`, `?` and `**`, matched over bytes.
package struct GlobPattern: Sendable {
    private enum Token: Equatable {
        case byte(UInt8)
        case anyByte
        case anyWithinSegment
        case anything
    }

    private let tokens: [Token]

    /// Reads a pattern; every text is one.
    package init(_ pattern: String) {
        var tokens: [Token] = []
        for byte in pattern.utf8 {
            switch byte {
            case UInt8(ascii: "?"): tokens.append(.anyByte)
            case UInt8(ascii: "*"):
                switch tokens.last {
                case .anyWithinSegment?: tokens[tokens.count - 1] = .anything
                case .anything?: break
                case .byte?, .anyByte?, nil: tokens.append(.anyWithinSegment)
                }
            default: tokens.append(.byte(lowercased(byte)))
            }
        }
        self.tokens = tokens
    }

    /// Whether the whole path matches.
    ///
    /// - Complexity: O(pattern × path): the set of reachable pattern places is carried along, so no
    ///   pattern can be made expensive by backtracking.
    package func matches(_ path: ArraySlice<UInt8>) -> Bool {
        var reached = closure(of: [0])
        for byte in path {
            var next: Set<Int> = []
            for place in reached where place < tokens.count {
                switch tokens[place] {
                case .byte(let expected):
                    if lowercased(byte) == expected { next.insert(place + 1) }
                case .anyByte:
                    if byte != UInt8(ascii: "/") { next.insert(place + 1) }
                case .anyWithinSegment:
                    if byte != UInt8(ascii: "/") { next.insert(place) }
                case .anything: next.insert(place)
                }
            }
            guard !next.isEmpty else { return false }
            reached = closure(of: next)
        }
        return reached.contains(tokens.count)
    }

    /// Adds the places behind stars, which may match nothing.
    private func closure(of places: Set<Int>) -> Set<Int> {
        var all = places
        for place in places {
            var next = place
            while next < tokens.count,
                tokens[next] == .anyWithinSegment || tokens[next] == .anything
            {
                next += 1
                all.insert(next)
            }
        }
        return all
    }
}

private func lowercased(_ byte: UInt8) -> UInt8 {
    (65...90).contains(byte) ? byte + 32 : byte
}
