import ArgumentParser
import Bootstrap
import Domain
import Glibc

/// `preloop login URL`: signs in to a server and remembers a key of one's own.
struct LoginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Sign in to a server; `preloop api` and others then speak to it.",
        discussion: """
            Asks for the password, makes an API key named after this machine and user, and keeps \
            it in PRELOOP_HOME, readable by its owner alone. With --token-env a key that exists is \
            kept instead.
            """
    )

    @Argument(help: "The server's address, such as https://preloop.example.com.")
    var url: String

    @Option(help: "The name to sign in with; this machine's user when not given.")
    var user: String?

    @Option(help: "The environment variable that holds an API key.")
    var tokenEnv: String?

    @OptionGroup var password: PasswordSource
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try Settings.read()
        let address = try RemoteOptions.checked(url)
        let login: RemoteLogin
        if let tokenEnv {
            guard let key = settings.environment[tokenEnv], !key.isEmpty else {
                throw CommandFailure(
                    .usage,
                    "the environment variable `\(tokenEnv)` is not set",
                    hint: "export it, or sign in with a password"
                )
            }
            login = RemoteLogin(url: address, key: Secret(key))
        } else {
            login = try await signIn(address, settings)
        }
        let server = try RemoteServer(url: login.url, token: login.key, settings: settings)
        let me = try await server.call("GET", "/api/v1/auth/users/me")
        try login.write(settings)
        let name = me["username"]?.string ?? ""
        guard !output.isJSON else {
            try Output.result(["url": .string(address), "username": .string(name)])
            return
        }
        try Output.text(["Signed in to \(address) as \(singleLine(name))."])
    }

    private func signIn(
        _ address: String,
        _ settings: Settings
    ) async throws -> RemoteLogin {
        let name = user ?? settings.environment["USER"] ?? ""
        guard !name.isEmpty else {
            throw CommandFailure(.usage, "whose login is it?", hint: "give --user NAME")
        }
        let text = try password.read(environment: settings.environment, for: name)
        let access = try await RemoteServer.signIn(name, text, at: address, settings)
        let server = try RemoteServer(url: address, token: access, settings: settings)
        // A name that no other login of this machine has.
        let suffix = String(UInt32.random(in: 0...UInt32.max), radix: 36)
        let label: JSONValue = ["name": .string("login \(Self.machine) \(suffix)")]
        let made = try await server.call("POST", "/api/v1/auth/api-keys", label)
        guard let key = made["key"]?.string else {
            throw CommandFailure(.failure, "`\(address)` gave no key")
        }
        return RemoteLogin(url: address, key: Secret(key), keyID: made["id"]?.integer)
    }

    private static var machine: String {
        var name = [CChar](repeating: 0, count: 65)
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return "somewhere" }
        let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// `preloop logout`: removes the key, here and on the server.
struct LogoutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logout",
        abstract: "Forget the server, and remove the key that `preloop login` made there."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try Settings.read()
        guard let login = try RemoteLogin.read(settings) else {
            throw CommandFailure(.notFound, "nobody is signed in to a server")
        }
        var warning: String?
        if let id = login.keyID {
            let server = try RemoteServer(url: login.url, token: login.key, settings: settings)
            do throws(CommandFailure) {
                let answer = try await server.send("DELETE", "/api/v1/auth/api-keys/\(id)")
                if answer.status != 204, answer.status != 404, answer.status != 401 {
                    warning = RemoteServer.failure(answer, "").reason
                }
            } catch {
                warning = error.reason ?? error.what
            }
        }
        try RemoteLogin.remove(settings)
        if let warning {
            standardError("warning: the key was not removed at \(login.url): \(warning)\n")
        }
        guard !output.isJSON else {
            try Output.result(["url": .string(login.url)])
            return
        }
        try Output.text(["Signed out of \(login.url)."])
    }
}

/// `preloop status`: which server, and as whom.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the server that `preloop login` remembers, and how it is."
    )

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let server = try remote.requiredServer(try Settings.read())
        let me = try await server.call("GET", "/api/v1/auth/users/me")
        let ready = try await server.send("GET", "/readyz")
        let name = me["username"]?.string ?? ""
        let role = me["role"]?.string ?? ""
        let version = ready.json?["version"]?.string
        let state = ready.status == 200 ? "ready" : ready.json?["detail"]?.string ?? "not ready"
        guard !output.isJSON else {
            try Output.result([
                "url": .string(server.url), "username": .string(name), "role": .string(role),
                "state": .string(state), "version": JSONValue(version),
            ])
            return
        }
        try Output.text([
            "\(server.url): \(singleLine(state))\(version.map { ", version \($0)" } ?? "")",
            "signed in as \(singleLine(name)), \(singleLine(role))",
        ])
    }
}

/// `preloop api METHOD PATH`: any request to the server.
struct APICommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "api",
        abstract: "Send a request to the server, and print its answer.",
        discussion: """
            preloop api GET '/api/v1/issues?state=open&limit=5'
            preloop api POST /api/v1/mcp/search --data '{"query": "login fails"}'

            Exit status: 0 for an answer of success, 4 for a missing right, 5 for what is not \
            there, 75 when it is to be tried later, 1 for other refusals.
            """
    )

    @Argument(help: "GET, POST, PUT, PATCH or DELETE.")
    var method: String

    @Argument(help: "The path, such as /api/v1/issues.")
    var path: String

    @Option(help: "The body, a JSON document.")
    var data: String?

    @OptionGroup var remote: RemoteOptions

    func validate() throws {
        guard ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(method.uppercased()) else {
            throw ValidationError("the method is GET, POST, PUT, PATCH or DELETE")
        }
        guard path.hasPrefix("/"), path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ValidationError("the path begins with a slash and is percent-encoded")
        }
    }

    func run() async throws {
        let server = try remote.requiredServer(try Settings.read())
        let body: JSONValue?
        do {
            body = try data.map { try JSONParser.parse($0) }
        } catch {
            throw CommandFailure(.usage, "the body is not JSON", reason: "\(error)")
        }
        let answer = try await server.send(method.uppercased(), path, body)
        if !answer.body.isEmpty {
            try Output.text([String(decoding: answer.body, as: UTF8.self)])
        }
        guard (200..<300).contains(answer.status) else {
            throw RemoteServer.failure(answer, "`\(server.url)` answers \(answer.status)")
        }
    }
}
