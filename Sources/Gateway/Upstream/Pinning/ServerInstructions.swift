package import Domain
import MCP

/// What a server says to models when its session begins, as it was accepted.
///
/// It is compared, held and accepted as the definition of a tool is, and kept beside those under a
/// name that is none of a tool.
struct ServerInstructions: Sendable, Equatable {
    /// Tools have no parentheses in their names; one that is called so all the same is left out.
    static let name = "(instructions)"
    /// Of one server's so many characters count: what is longer is a manual, which every model
    /// would have to read before it does anything.
    static let maximumLength = 2_000
    /// What those of all servers may have together, with their headings: room for seven that say as
    /// much as they may.
    static let maximumTotal = 16_000
    /// Says whose words follow.
    private static let lead = "What the MCP servers behind this one say of their own tools:"
    private static let separator = "\n\n"

    /// The server's name.
    var server: String
    var text: String

    /// What there is to accept of a server; nil where it says nothing.
    static func definition(of profile: ServerProfile?) -> JSONObject? {
        guard let scalars = profile?.instructions?.unicodeScalars.prefix(maximumLength) else {
            return nil
        }
        let text = String(String.UnicodeScalarView(scalars))
        guard !text.allSatisfy(\.isWhitespace) else { return nil }
        return JSONObject([("name", .string(name)), ("instructions", .string(text))])
    }

    /// What was accepted of a server; nil where that is something else.
    init?(of server: String, accepted definition: JSONObject) {
        guard let text = definition["instructions"]?.string else { return nil }
        self.server = server
        self.text = text
    }

    /// Our own instructions, and behind them those of other servers.
    ///
    /// - Parameters:
    ///   - own: Ours; nil for none.
    ///   - others: Those of the servers, in the order in which they are told.
    /// - Returns: All of them; those that there is no room for are left out as a whole.
    static func merged(_ own: String?, _ others: [ServerInstructions]) -> String? {
        var room = maximumTotal
        var sections: [String] = []
        for section in others.map(\.section) {
            let length = section.unicodeScalars.count + separator.unicodeScalars.count
            guard length <= room else { continue }
            room -= length
            sections.append(section)
        }
        guard !sections.isEmpty else { return own }
        let parts = [own].compactMap { $0 } + [lead] + sections
        return parts.joined(separator: separator)
    }

    /// A heading and the text as a quotation, so that nothing in it can be taken for the heading of
    /// another server.
    private var section: String {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        return "## \(server)" + Self.separator + lines.map { "> \($0)" }.joined(separator: "\n")
    }
}

extension UpstreamTool {
    /// Whether it is no tool but what its server says to models, which is accepted in the same way.
    package var isInstructions: Bool { haveEqualBytes(name, ServerInstructions.name) }
}
