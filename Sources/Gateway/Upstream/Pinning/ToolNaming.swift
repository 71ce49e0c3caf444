import Domain

/// Gives the tools of all servers the names they have here; nobody gets a name that is taken.
struct ToolNaming: Sendable {
    /// A tool that wants a name.
    struct Candidate: Sendable, Hashable {
        var server: String
        var prefix: UpstreamServer.PrefixMode
        var tool: String
    }

    /// A tool and what it is called; nil where it cannot be called, for the name is another's.
    struct Assignment: Sendable, Equatable {
        var candidate: Candidate
        var name: String?
    }

    /// Between the server's name and the tool's: clients take letters, digits, `_` and `-`.
    static let separator = "__"

    /// Names that are taken before anybody asks.
    var reserved: [String]

    /// Names for all, in the order of the candidates.
    func assign(_ candidates: [Candidate]) -> [Assignment] {
        var counts: [[UInt8]: Int] = [:]
        for name in reserved { counts[Array(name.utf8), default: 0] += 1 }
        for candidate in candidates where candidate.prefix != .always {
            counts[Array(candidate.tool.utf8), default: 0] += 1
        }
        let wanted = candidates.map { candidate -> String in
            let isAlone = counts[Array(candidate.tool.utf8)] == 1
            let isPrefixed =
                candidate.prefix == .always || (candidate.prefix == .conflict && !isAlone)
            return isPrefixed ? candidate.server + Self.separator + candidate.tool : candidate.tool
        }
        var owners: [[UInt8]: Int] = [:]
        for name in reserved + wanted { owners[Array(name.utf8), default: 0] += 1 }
        return zip(candidates, wanted).map { candidate, name in
            Assignment(candidate: candidate, name: owners[Array(name.utf8)] == 1 ? name : nil)
        }
    }
}
