import Domain
import HTTPTypes

/// The description of the interface, for programs and for people; nothing is loaded from elsewhere.
struct DocumentationRoutes: Sendable {
    private let document: [UInt8]
    private let page: String

    init(_ routes: [Route], version: String) {
        document = OpenAPIDocument(routes, version: version).json.serialized()
        page = Self.page(routes.filter(\.isDocumented), version: version)
    }

    /// The routes.
    var routes: [Route] {
        [
            .on(.get, "/openapi.json", .open, tag: "Documentation", "This document") { _ in
                APIResponse(.ok, headers: [.contentType: "application/json"], body: document)
            }.undocumented,
            // The address that a server prints is opened in browsers.
            .on(.get, "/", .open, tag: "Documentation", "The way to the interface") { _ in
                APIResponse(.seeOther, headers: [.location: "/docs"])
            }.undocumented,
            .on(.get, "/docs", .open, tag: "Documentation", "The interface for people") { _ in
                .html(page)
            }.undocumented,
        ]
    }

    private static let style = """
        body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em}
        code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f4f4;padding:.7em;
        overflow:auto}summary{cursor:pointer;padding:.25em 0}
        .m{display:inline-block;width:4.5em;font-weight:600}
        .p{color:#666}h2{border-bottom:1px solid #ccc;margin-top:1.6em}
        """

    private static func page(_ routes: [Route], version: String) -> String {
        var tags: [String] = []
        for route in routes where !tags.contains(route.tag) { tags.append(route.tag) }
        let sections = tags.map { tag in
            let list = routes.filter { $0.tag == tag }.map(entry).joined()
            return "<h2>\(escapedHTML(tag))</h2>\(list)"
        }
        return """
            <!doctype html><html lang="en"><meta charset="utf-8"><title>Preloop API</title>
            <meta name="viewport" content="width=device-width"><style>\(style)</style>
            <h1>Preloop API \(escapedHTML(version))</h1>
            <p>For programs: <a href="/openapi.json">/openapi.json</a>. Sign in at
            <code>POST /api/v1/auth/token</code> or make an API key; send either as
            <code>Authorization: Bearer …</code>. Lists go on at <code>X-Next-Cursor</code>;
            writes take an <code>Idempotency-Key</code>; refusals are
            <code>application/problem+json</code>.</p>\(sections.joined())</html>
            """
    }

    private static func entry(_ route: Route) -> String {
        var details = ""
        if case .permission(let permission) = route.access {
            details += "<p class=\"p\">needs <code>\(permission.rawValue)</code></p>"
        }
        if !route.parameters.isEmpty {
            let rows = route.parameters.map { parameter in
                let schema = escapedHTML(parameter.schema.serializedText())
                return "<li><code>\(escapedHTML(parameter.name))</code> <code>\(schema)</code></li>"
            }
            details += "<ul>\(rows.joined())</ul>"
        }
        let headers = route.requestHeaders.map { "<code>\(escapedHTML($0.name))</code>" }
        if !headers.isEmpty { details += "<p>Headers \(headers.joined(separator: " "))</p>" }
        if let body = route.body {
            details += "<p>Body</p><pre>\(escapedHTML(body.serializedText()))</pre>"
        }
        if let result = route.result {
            details += "<p>Answer \(route.status.code)</p>"
            details += "<pre>\(escapedHTML(result.serializedText()))</pre>"
        }
        return """
            <details><summary><span class="m">\(route.method.rawValue)</span>
            <code>\(escapedHTML(route.path))</code> \(escapedHTML(route.summary))</summary>
            \(details)</details>
            """
    }
}

/// Text as it may stand in a page, attributes included.
func escapedHTML(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    // By scalars: a quotation mark with a combining one behind it is another character to Swift,
    // and a quotation mark all the same to a browser.
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": result.append(contentsOf: "&amp;".unicodeScalars)
        case "<": result.append(contentsOf: "&lt;".unicodeScalars)
        case ">": result.append(contentsOf: "&gt;".unicodeScalars)
        case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
        default: result.append(scalar)
        }
    }
    return String(result)
}
