import Domain
import Firewall
import Store

/// What people are told of a request, in the forms of the channels.
///
/// Arguments are not among it: channels are read by others too, and kept. Their names are, and the
/// link leads to the rest. What the agent wrote can neither mention people nor look like a link.
struct ApprovalMessage {
    let request: ApprovalRequest
    /// Nil where nobody has said how people reach the server; the message then has a command.
    let link: String?
    let now: Timestamp
    /// Whether more people are asked because those who were asked first have not answered.
    var isEscalation = false

    /// Bytes of a text of the agent's in a message.
    private static let textCharacters = 500

    /// What shows the call to whoever is at a terminal.
    private var command: String { "preloop approvals show \(request.id)" }

    /// One line.
    var subject: String { "Approval needed: \(plain(request.tool))" }

    private var waiting: String {
        request.row.request.kind == .answer ? "An answer waits" : "A call waits"
    }

    private var lines: [(String, String)] {
        let stored = request.row.request
        var lines = [
            ("Tool", plain(request.toolText)), ("Asked by", plain(stored.requester)),
            ("Arguments", plain(ShownArguments.names(request.shownArguments))),
        ]
        if let message = stored.message { lines.append(("Rule", plain(message))) }
        if let reason = stored.justification { lines.append(("Agent's reason", plain(reason))) }
        lines.append(("Open for", "\(request.remainingSeconds(at: now)) seconds"))
        return lines
    }

    /// The text of a mail.
    var mailText: String {
        let text = lines.map { "\($0.0): \($0.1)" }.joined(separator: "\n")
        return """
            \(waiting) for your approval.

            \(text)

            \(mailWay)

            """
    }

    /// How the reader of a mail gets to the call.
    private var mailWay: String {
        guard let link else {
            return """
                See the call, and decide, where Preloop is installed or you have logged in to it:
                \(command)
                """
        }
        return """
            See the call and decide:
            \(link)

            Opening the page decides nothing. The link is yours: whoever has it can decide in your \
            name.
            """
    }

    /// For Slack's incoming webhooks: as plain text, which knows no mentions and no links.
    var slack: JSONValue {
        let text = lines.map { "\($0.0): \($0.1)" }.joined(separator: "\n")
        let escaped = subject.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
            .replacing(">", with: "&gt;")
        let way: JSONValue =
            link.map { link in
                [
                    "type": "actions",
                    "elements": [
                        [
                            "type": "button", "url": .string(link),
                            "text": ["type": "plain_text", "text": "See and decide"],
                        ]
                    ],
                ]
            }
            ?? [
                "type": "section",
                "text": ["type": "plain_text", "text": .string("See it by: \(command)")],
            ]
        return [
            "text": .string(escaped),
            "blocks": [
                ["type": "header", "text": ["type": "plain_text", "text": .string(waiting)]],
                ["type": "section", "text": ["type": "plain_text", "text": .string(text)]],
                way,
            ],
        ]
    }

    /// For Mattermost's incoming webhooks: in a block of code, which knows no mentions, no links.
    var mattermost: JSONValue {
        let text = lines.map { "\($0.0): \($0.1)" }.joined(separator: "\n")
            .replacing("`", with: "'")
        let way = link.map { "[see and decide](\($0))" } ?? "`\(command)`"
        return ["text": .string("\(waiting): \(way)\n```\n\(text)\n```")]
    }

    /// What a program is told of.
    private var stage: String {
        guard request.state.isPending else { return "ended" }
        return isEscalation ? "escalated" : "requested"
    }

    /// For programs.
    var webhook: JSONValue {
        let stored = request.row.request
        let isOpen = request.state.isPending
        let deciders: [String] = isOpen ? [] : request.state.votes.map(\.approver.text)
        return [
            "type": .string(isOpen ? "approval_request" : "approval_ended"),
            "stage": .string(stage),
            "request_id": .string(request.id),
            "kind": .string(stored.kind.rawValue), "tool_name": .string(request.tool),
            "argument_names": JSONValue((request.shownArguments.object?.members ?? []).map(\.key)),
            "requester": .string(stored.requester), "workflow": .string(stored.workflow),
            "asked_workflow": .string(request.state.terms.name),
            "message": JSONValue(stored.message),
            "agent_reasoning": JSONValue(stored.justification),
            "status": .string(request.status.rawValue),
            "requested_at": .string(stored.requestedAt.iso8601),
            "expires_at": .string(request.state.expiresAt.iso8601),
            "decided_by": JSONValue(deciders),
            "actions": link.map { ["view": .string($0)] } ?? ["command": .string(command)],
        ]
    }

    /// One line of bounded length, hidden characters shown.
    private func plain(_ text: String) -> String {
        let line = visible(text).replacing("\n", with: " ").replacing("\t", with: " ")
        guard line.count > Self.textCharacters else { return line }
        return line.prefix(Self.textCharacters) + "…"
    }
}
