import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop audit …`: what was called, decided and done.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Show, follow, verify and export the record of calls and decisions.",
        discussion: """
            Every call of a tool is on record before it runs and again when it has ended, with \
            secrets taken out of its arguments; so is what is changed of policies, servers, users, \
            keys and trackers. The record is a chain of hashes whose end is signed with the \
            installation's key; `verify` tells whether anything in it was changed. It is kept for \
            PRELOOP_AUDIT_DAYS days (365).
            """,
        subcommands: [
            AuditTailCommand.self, AuditQueryCommand.self, AuditVerifyCommand.self,
            AuditExportCommand.self,
        ]
    )
}

/// What the commands print of the audit.
enum AuditText {
    /// Characters of the arguments in a line.
    private static let width = 72

    /// One event, as the server and ``AuditTable/Row/json`` write it, in a line.
    static func line(_ event: JSONValue) -> String {
        func text(_ name: String) -> String { event[name]?.string ?? "" }
        let kind = text("kind")
        var parts = [
            "\(event["sequence"]?.integer ?? 0)", text("happened_at"), kind, text("caller"),
            text("server").isEmpty ? text("tool") : "\(text("server"))/\(text("tool"))",
        ]
        switch kind {
        case "completed":
            parts.append(text("outcome"))
            if let duration = event["duration_us"]?.integer { parts.append(milliseconds(duration)) }
        case "call": parts += [text("decision"), text("outcome"), cut(text("arguments"))]
        default: parts += [text("decision"), text("outcome")]
        }
        if !text("reason").isEmpty { parts.append("– \(text("reason"))") }
        // Of a change they are what was set.
        if kind == "change" { parts.append(cut(text("arguments"))) }
        return singleLine(parts.filter { !$0.isEmpty }.joined(separator: "  "))
    }

    /// The beginning of a long text.
    static func cut(_ text: String) -> String {
        let beginning = text.unicodeScalars.prefix(width)
        return beginning.count == text.unicodeScalars.count
            ? text : String(String.UnicodeScalarView(beginning)) + "…"
    }

    /// Such as `12.3 ms`.
    static func milliseconds(_ microseconds: Int64) -> String {
        "\(microseconds / 1_000).\(microseconds % 1_000 / 100) ms"
    }

    /// The same of a server's number; nil for one that is no time.
    static func milliseconds(_ number: Double) -> String? {
        Int64(exactly: (number * 1_000).rounded(.towardZero)).map { milliseconds($0) }
    }
}
