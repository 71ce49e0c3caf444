import Domain
import HTTPTypes

/// The page behind the set-up link, which makes the first user.
struct SetupRoutes: Sendable {
    let desk: AccountDesk

    /// The routes.
    var routes: [Route] {
        [
            .on(.get, "/setup", .open, tag: "Set-up", "The page of the set-up link") { request in
                let token = request.query["token"] ?? ""
                guard try await desk.isSetupToken(token) else {
                    // As the form would be refused.
                    return Self.page(
                        "This link is used up or over. Start the server again.",
                        .forbidden
                    )
                }
                return .html(Self.form(token, problem: nil))
            }.undocumented,
            .on(.post, "/setup", .open, tag: "Set-up", "Make the first user") { request in
                let form = try request.form(known: ["token", "username", "password"])
                let token = form["token"] ?? ""
                do {
                    let user = try await desk.setUp(
                        token,
                        name: form["username"] ?? "",
                        password: form["password"] ?? ""
                    )
                    return Self.page("You can sign in as \(user.name) now.", .created)
                } catch let problem as Problem where problem.status != .forbidden {
                    return .html(Self.form(token, problem: problem.detail), status: problem.status)
                }
            }.undocumented.forSmallBodies.endingWithClient,
        ]
    }

    private static let style = """
        body{font:16px/1.5 system-ui,sans-serif;max-width:26em;margin:4em auto;padding:0 1em}
        label{display:block;margin:1em 0}input{display:block;width:100%;font:inherit;padding:.4em}
        button{font:inherit;padding:.5em 1.5em}.problem{color:#a00}
        """

    private static func document(_ content: String) -> String {
        """
        <!doctype html><html lang="en"><meta charset="utf-8"><title>Preloop</title>
        <meta name="viewport" content="width=device-width"><style>\(style)</style>
        <h1>Preloop</h1>\(content)</html>
        """
    }

    private static func page(_ text: String, _ status: HTTPResponse.Status) -> APIResponse {
        .html(document("<p>\(escapedHTML(text))</p>"), status: status)
    }

    private static func form(_ token: String, problem: String?) -> String {
        let least = PasswordHasher.minimumPasswordCharacters
        let note =
            problem.map { "<p class=\"problem\" role=\"alert\">\(escapedHTML($0))</p>" } ?? ""
        return document(
            """
            <p>Choose the name and the password of this installation's owner.</p>\(note)
            <form method="post" action="/setup">
            <input type="hidden" name="token" value="\(escapedHTML(token))">
            <label>Name <input name="username" required maxlength="128" autocomplete="username">
            </label>
            <label>Password, \(least) characters or more
            <input name="password" type="password" required minlength="\(least)"
            autocomplete="new-password"></label>
            <button>Make the owner</button></form>
            """
        )
    }
}
