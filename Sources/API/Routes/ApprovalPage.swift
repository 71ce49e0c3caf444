import Crypto
import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// A request as a page: at most fifteen kilobytes, whatever the call holds.
struct ApprovalPage: Sendable {
    let request: ApprovalRequest
    /// In whose name its form decides.
    let approver: String
    /// What the form sends; nil where the link is used up or over, which shows how the request
    /// stands and nothing of the call.
    let token: String?
    let now: Timestamp

    /// Bytes of the arguments, escaped: with the rest of the page below fifteen kilobytes.
    private static let argumentBytes = 6_000
    /// Bytes of any other text of the call, escaped.
    private static let textBytes = 1_200

    /// The answer; `problem` is what there is to say about what was just tried.
    func response(problem: String?, status: HTTPResponse.Status = .ok) -> APIResponse {
        let note = problem.map { "<p role=\"status\"><b>\(Self.cut($0))</b></p>" } ?? ""
        let isOpen = token != nil && request.state.isPending
        let ticks = isCut ? readingAll : remembering
        let shown = token == nil ? "<h1>A request for approval</h1>" : details
        let content = note + shown + (isOpen ? form(with: ticks) : outcome)
        return Self.page(content, status: status)
    }

    /// Whether the page shows less than the call holds: what is left out may be what matters, and
    /// whoever made the call chose what comes first.
    var isCut: Bool {
        let stored = request.row.request
        let texts = [request.tool, stored.message, stored.justification]
        return request.isShownInPart
            || Self.shortened(argumentText, to: Self.argumentBytes, isVisible: true).isCut
            || texts.contains { $0.map { Self.shortened($0).isCut } ?? false }
    }

    private var details: String {
        let stored = request.row.request
        var rows = [("Tool", request.toolText), ("Asked by", stored.requester)]
        if let message = stored.message { rows.append(("Rule", message)) }
        if let reason = stored.justification { rows.append(("Agent's reason", reason)) }
        rows.append(("Workflow", stored.workflow))
        if request.state.workflows.count > 1, request.state.isPending {
            rows.append(("Asked now", request.state.terms.name))
        }
        rows.append(("Asked at", stored.requestedAt.iso8601))
        if request.state.isPending { rows.append(("Open until", request.state.expiresAt.iso8601)) }
        let required = request.state.terms.quorum
        if required > 1 {
            rows.append(("Approvals", "\(request.state.approvalCount) of \(required)"))
        }
        if isCut { rows.append(("SHA-256 of the whole call", hexadecimal(stored.digest))) }
        let list = rows.map { "<dt>\($0.0)</dt><dd>\(Self.cut($0.1))</dd>" }.joined()
        return """
            <h1>\(title)</h1>
            <dl>\(list)</dl>
            <h2>\(stored.kind == .answer ? "Call and answer" : "Arguments")</h2>\
            <pre>\(arguments)</pre>
            """
    }

    private var title: String {
        switch request.row.request.kind {
        case .call: "May this call run?"
        case .question: "An agent asks"
        case .answer: "The call has run. May its caller see the answer?"
        }
    }

    private var arguments: String {
        Self.cut(argumentText, to: Self.argumentBytes, isVisible: true)
    }

    private var argumentText: String {
        let members = request.row.request.shown.object?.members ?? []
        let lines = members.map { member in
            let value = member.value.string ?? member.value.serializedText()
            return "\(visible(member.key)): \(visible(value))"
        }
        return lines.isEmpty ? "none" : lines.joined(separator: "\n")
    }

    /// What may be ticked where all of the call is shown.
    private var remembering: String {
        // There is no second call with the same answer.
        guard request.row.request.kind != .answer else { return "" }
        let terms = request.state.terms
        var ticks = ""
        if terms.rememberedSeconds > 0 {
            ticks += Self.tick(
                "remember_seconds",
                "\(terms.rememberedSeconds)",
                "Approve the same call for the next \(max(1, terms.rememberedSeconds / 60)) minutes"
            )
        }
        if terms.remembersSession {
            ticks += Self.tick(
                "remember_session",
                "yes",
                "Approve the same call for as long as its session lasts"
            )
        }
        return ticks
    }

    /// Approving what is not shown takes a second tick, and is never remembered.
    private var readingAll: String {
        Self.tick(
            "read_all",
            "yes",
            "This page shows a part of the call. I have read all of it (needed to approve)."
        )
    }

    private static func tick(_ name: String, _ value: String, _ words: String) -> String {
        "<label><input type=\"checkbox\" name=\"\(name)\" value=\"\(value)\"> \(words)</label>"
    }

    private func form(with ticks: String) -> String {
        let isRequired = request.state.terms.requiresReason
        return """
            <form method="post" action="/approval/\(escapedHTML(request.id))/decide">
            <input type="hidden" name="token" value="\(escapedHTML(token ?? ""))">\(addressee)
            <label>Comment\(isRequired ? "" : " (optional)")
            <textarea name="comment" rows="3" maxlength="2000"\(isRequired ? " required" : "")>\
            </textarea></label>\(ticks)
            <p><button name="decision" value="approve">Approve</button>
            <button name="decision" value="decline">Decline</button></p>
            <p>You decide as \(Self.cut(approver)).</p></form>
            """
    }

    /// The workflow that the form answers, where several have to approve: another one may be asked
    /// by the time it is sent.
    private var addressee: String {
        guard request.state.workflows.count > 1 else { return "" }
        let name = escapedHTML(request.state.terms.name)
        return "<input type=\"hidden\" name=\"workflow\" value=\"\(name)\">"
    }

    private var outcome: String {
        guard !request.state.isPending else {
            let isOfSeveral = request.state.workflows.count > 1
            let other = isOfSeveral ? ", or was for a workflow that has approved" : ""
            return "<p>The request is open, and this link has been used or is over\(other).</p>"
        }
        let by = request.state.resolvedBy.map { " by \(Self.cut($0))" } ?? ""
        let at = request.state.resolvedAt.map { " at \($0.iso8601)" } ?? ""
        let comment = token == nil ? nil : request.state.resolution
        let words = comment.map { "<p>“\(Self.cut($0))”</p>" } ?? ""
        return "<p>The request was \(request.status.rawValue)\(by)\(at).</p>\(words)"
    }

    /// What somebody hears who has decided.
    static func thanks(_ request: ApprovalRequest) -> String {
        switch request.status {
        case .pending: "Your vote counts; more are needed."
        case .approved:
            request.row.request.kind == .answer
                ? "Approved. The caller gets the answer." : "Approved. The call may run, once."
        case .declined:
            request.row.request.kind == .answer
                ? "Declined. The answer is not shown." : "Declined. The call does not run."
        case .expired, .cancelled: "The request is \(request.status.rawValue)."
        }
    }

    // MARK: - Other pages

    /// The page that asks who decides.
    static func signIn(_ id: String, problem: String?) -> APIResponse {
        let note = problem.map { "<p role=\"alert\"><b>\(cut($0))</b></p>" } ?? ""
        return page(
            """
            <h1>A call waits for approval</h1>\(note)
            <p>Sign in to see it and to decide.</p>
            <form method="post" action="/approval/\(escapedHTML(String(id.prefix(64))))">
            <label>Name <input name="username" required maxlength="128" autocomplete="username">
            </label><label>Password <input name="password" type="password" required
            autocomplete="current-password"></label><button>Show the call</button></form>
            """,
            status: problem == nil ? .ok : .unauthorized
        )
    }

    /// A page that only says something.
    static func message(_ text: String, _ status: HTTPResponse.Status) -> APIResponse {
        page("<h1>Preloop</h1><p>\(cut(text))</p>", status: status)
    }

    // MARK: - Making

    private static let style = """
        body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:2em auto;padding:0 1em}\
        pre{background:#f4f4f4;padding:1em;overflow:auto;white-space:pre-wrap;\
        overflow-wrap:anywhere}dt{font-weight:600}dd{margin:0 0 .5em;overflow-wrap:anywhere}\
        label{display:block;margin:1em 0}textarea,input[type=text],input[name]{font:inherit}\
        textarea{width:100%}button{font:inherit;padding:.5em 1.5em;margin-right:1em}
        """

    /// The one style there is, by its digest.
    private static let policy: String = {
        let digest = Base64URL.encode(SHA256.hash(data: Array(style.utf8)))
        let standard = digest.replacing("-", with: "+").replacing("_", with: "/")
        return "default-src 'none'; style-src 'sha256-\(standard)='; form-action 'self'; "
            + "base-uri 'none'; frame-ancestors 'none'"
    }()

    private static func page(_ content: String, status: HTTPResponse.Status) -> APIResponse {
        let text = """
            <!doctype html><html lang="en"><meta charset="utf-8"><title>Preloop approval</title>
            <meta name="viewport" content="width=device-width"><meta name="robots" \
            content="noindex"><style>\(style)</style>\(content)</html>
            """
        var response = APIResponse.html(text, status: status)
        response.headers[.contentSecurityPolicy] = policy
        response.headers[.cacheControl] = "no-store"
        // The address holds the token.
        response.headers[.referrerPolicy] = "no-referrer"
        return response
    }

    /// What somebody hears who approves what they cannot have read here.
    static let partProblem =
        "The page shows a part of the call only. Read all of it, and tick that you have."

    /// A text of the call, escaped, its hidden characters shown, cut at so many bytes.
    private static func cut(
        _ text: String,
        to limit: Int = textBytes,
        isVisible: Bool = false
    ) -> String {
        let (shown, isCut) = shortened(text, to: limit, isVisible: isVisible)
        return isCut ? shown + "… (cut; `preloop approvals show` has all of it)" : shown
    }

    private static func shortened(
        _ text: String,
        to limit: Int = textBytes,
        isVisible: Bool = false
    ) -> (text: String, isCut: Bool) {
        let shown = isVisible ? text : visible(text)
        var result = ""
        for scalar in shown.unicodeScalars {
            let piece = escapedHTML(String(scalar))
            guard result.utf8.count + piece.utf8.count <= limit else {
                return (result, true)
            }
            result += piece
        }
        return (result, false)
    }
}

extension HTTPField.Name {
    static let referrerPolicy = known("Referrer-Policy")
}
