import ArgumentParser
import Bootstrap
import Domain
import Foundation
import HTTPClient

/// A `preloop serve` somewhere, as the commands with `--url` speak to it.
struct RemoteServer: Sendable {
    /// Without a final slash.
    let url: String
    let token: Secret
    /// The most that a list of a server has on a page.
    private static let pageLength = 100
    /// A hundred thousand users, keys or tools; a server that always has more is asked no further.
    private static let maximumPages = 1_000
    private let transport: any HTTPTransport

    init(url: String, token: Secret, settings: Settings) throws(CommandFailure) {
        self.url = url
        self.token = token
        transport = try Self.transport(settings)
    }

    private static func transport(
        _ settings: Settings
    ) throws(CommandFailure) -> any HTTPTransport {
        do {
            return try Installation.transport(settings)
        } catch {
            throw CommandFailure("cannot make an HTTP client", cause: error)
        }
    }

    /// What a server answered.
    struct Answer: Sendable {
        var status: Int
        var headers = HTTPHeaders()
        var body: [UInt8]

        /// The body as JSON; nil for what is none.
        var json: JSONValue? {
            // What is no JSON is shown as text.
            try? JSONParser.parse(body)
        }

        /// Whether a rule or a person denied a call, which no other credential would change.
        var isDenial: Bool { status == 403 && json?["code"] == "access_denied" }
    }

    /// Sends a request as whoever the token is.
    func send(
        _ method: String,
        _ path: String,
        _ body: JSONValue? = nil,
        headers: [HTTPField] = []
    ) async throws(CommandFailure) -> Answer {
        try await Self.send(method, url + path, body, token, transport, headers)
    }

    /// Sends a request, and throws what the server refuses it for.
    func call(
        _ method: String,
        _ path: String,
        _ body: JSONValue? = nil
    ) async throws(CommandFailure) -> JSONValue {
        let answer = try await send(method, path, body)
        guard (200..<300).contains(answer.status) else {
            let what =
                answer.isDenial ? "`\(url)` denied the call" : "`\(url)` refuses the request"
            throw Self.failure(answer, what)
        }
        return answer.json ?? .null
    }

    /// A text as a segment of a path, or a value of a query: whatever is in it stays in it.
    static func encoded(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    }

    /// All pages of a list; fails when it does not end.
    func all(_ path: String) async throws(CommandFailure) -> [JSONValue] {
        var items: [JSONValue] = []
        for _ in 0..<Self.maximumPages {
            let query = "limit=\(Self.pageLength)&skip=\(items.count)"
            let page = try await call("GET", "\(path)?\(query)").array ?? []
            items += page
            guard page.count == Self.pageLength else { return items }
        }
        throw CommandFailure(
            .failure,
            "the list `\(path)` of `\(url)` has no end",
            reason: "\(Self.maximumPages) pages came, and there would be more",
            hint: "check that this is the address of a `preloop serve`"
        )
    }

    /// Signs in with a name and a password; gives an access token.
    static func signIn(
        _ name: String,
        _ password: String,
        at url: String,
        _ settings: Settings
    ) async throws(CommandFailure) -> Secret {
        let body: JSONValue = ["username": .string(name), "password": .string(password)]
        let transport = try transport(settings)
        let answer = try await send("POST", "\(url)/api/v1/auth/token", body, nil, transport)
        guard answer.status == 200, let token = answer.json?["access_token"]?.string else {
            throw failure(answer, "cannot sign in at `\(url)`")
        }
        return Secret(token)
    }

    private static func send(
        _ method: String,
        _ url: String,
        _ body: JSONValue?,
        _ token: Secret?,
        _ transport: any HTTPTransport,
        _ added: [HTTPField] = []
    ) async throws(CommandFailure) -> Answer {
        var headers = added + [HTTPField("Accept", "application/json")]
        if let token { headers.append(HTTPField("Authorization", "Bearer \(token.reveal())")) }
        if body != nil { headers.append(HTTPField("Content-Type", "application/json")) }
        let request = HTTPRequest(
            method: method,
            url: url,
            headers: headers,
            body: body?.serialized()
        )
        do {
            let response = try await transport.send(request)
            return Answer(
                status: response.status,
                headers: response.headers,
                body: response.body
            )
        } catch {
            throw CommandFailure("cannot reach the server", cause: error)
        }
    }

    /// A refusal in the operator's terms.
    static func failure(_ answer: Answer, _ what: String) -> CommandFailure {
        let code = answer.json?["code"]?.string
        let status: ExitStatus =
            switch answer.status {
            // As where the call is made on this machine.
            case 403 where answer.isDenial: .failure
            case 401, 403: .authentication
            case 404: .notFound
            // 412: somebody else has changed it meanwhile.
            case 412, 429, 503: .tryLater
            default: .failure
            }
        let detail = answer.json?["detail"]?.string ?? "status \(answer.status)"
        let isRefused = status == .authentication || answer.isDenial
        return CommandFailure(
            status,
            what,
            reason: detail,
            hint: isRefused ? hint(answer, code) : nil
        )
    }

    /// What helps whoever may not do something.
    private static func hint(_ answer: Answer, _ code: String?) -> String {
        switch code {
        case "access_denied":
            return "`preloop policy explain` shows the rules; the key was accepted"
        case "permission_denied": return "ask an owner of the account for a role that may"
        case "api_key_scope_denied":
            // RFC 6750, section 3; our servers name one scope, or none when none includes it.
            let challenge = answer.headers["WWW-Authenticate"] ?? ""
            guard let scope = challenge.firstMatch(of: /scope="([^"]+)"/)?.1 else {
                return "use a key without scopes"
            }
            return "use a key with the scope `\(scope)`, or without scopes"
        default: return "sign in with `preloop login URL`"
        }
    }
}

/// Where `preloop login` remembers a server: address and key, in a file only its owner can read.
struct RemoteLogin: Sendable {
    var url: String
    var key: Secret
    /// The key's identifier, so that signing out can remove it; nil for a key that was given.
    var keyID: Int64?

    private static func path(_ settings: Settings) -> String { "\(settings.home)/remote.json" }

    /// The remembered login; nil without one.
    static func read(_ settings: Settings) throws(CommandFailure) -> RemoteLogin? {
        guard let data = FileManager.default.contents(atPath: path(settings)) else { return nil }
        let value: JSONValue
        do {
            value = try JSONParser.parse(Array(data))
        } catch {
            throw damaged(settings)
        }
        guard let url = value["url"]?.string, let key = value["key"]?.string else {
            throw damaged(settings)
        }
        return RemoteLogin(url: url, key: Secret(key), keyID: value["key_id"]?.integer)
    }

    private static func damaged(_ settings: Settings) -> CommandFailure {
        CommandFailure(
            .failure,
            "`\(path(settings))` cannot be understood",
            hint: "remove the file and sign in again with `preloop login URL`"
        )
    }

    /// Remembers the login.
    func write(_ settings: Settings) throws(CommandFailure) {
        let path = Self.path(settings)
        try HomeDirectory(settings.home).create()
        var object = JSONObject()
        object.append(key: "url", value: .string(url))
        object.append(key: "key", value: .string(key.reveal()))
        if let keyID { object.append(key: "key_id", value: .integer(keyID)) }
        let content = Data(JSONValue.object(object).serialized())
        // The file is never there with other rights than its owner's.
        let isWritten = FileManager.default.createFile(
            atPath: path + ".new",
            contents: content,
            attributes: [.posixPermissions: 0o600]
        )
        guard isWritten, unsafe rename(path + ".new", path) == 0 else {
            throw CommandFailure(.failure, "cannot write `\(path)`", reason: systemMessage(errno))
        }
    }

    /// Forgets the login.
    static func remove(_ settings: Settings) throws(CommandFailure) {
        let path = path(settings)
        guard unsafe unlink(path) == 0 || errno == ENOENT else {
            throw CommandFailure(.failure, "cannot remove `\(path)`", reason: systemMessage(errno))
        }
    }
}

/// `--url`: another server than the one of `preloop login`, or than none.
struct RemoteOptions: ParsableArguments {
    @Option(help: "The server to ask in place of the installation; its key is in PRELOOP_TOKEN.")
    var url: String?

    /// The server that is meant; nil for the installation of this machine.
    func server(_ settings: Settings) throws(CommandFailure) -> RemoteServer? {
        guard let url else { return nil }
        return try Self.server(Self.checked(url), settings)
    }

    /// The server of `--url`, else of `preloop login`.
    func requiredServer(_ settings: Settings) throws(CommandFailure) -> RemoteServer {
        if let server = try server(settings) { return server }
        guard let login = try RemoteLogin.read(settings) else {
            throw CommandFailure(
                .usage,
                "no server is named",
                hint: "sign in with `preloop login URL`, or give --url and set PRELOOP_TOKEN"
            )
        }
        return try RemoteServer(url: login.url, token: login.key, settings: settings)
    }

    /// The key comes from the environment, or from a login at the same address.
    private static func server(
        _ url: String,
        _ settings: Settings
    ) throws(CommandFailure) -> RemoteServer {
        if let token = settings.environment["PRELOOP_TOKEN"], !token.isEmpty {
            return try RemoteServer(url: url, token: Secret(token), settings: settings)
        }
        guard let login = try RemoteLogin.read(settings), login.url == url else {
            throw CommandFailure(
                .authentication,
                "there is no key for `\(url)`",
                hint: "set PRELOOP_TOKEN, or sign in with `preloop login \(url)`"
            )
        }
        return try RemoteServer(url: url, token: login.key, settings: settings)
    }

    /// An address without a final slash.
    static func checked(_ url: String) throws(CommandFailure) -> String {
        var url = url
        while url.hasSuffix("/") { url.removeLast() }
        let parts = URLComponents(string: url)
        guard let parts, ["http", "https"].contains(parts.scheme?.lowercased()),
            parts.host?.isEmpty == false, parts.user == nil
        else {
            throw CommandFailure(
                .usage,
                "`\(url)` is not the address of a server",
                hint: "write it as https://preloop.example.com"
            )
        }
        return url
    }
}
