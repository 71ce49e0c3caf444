import ArgumentParser
import Bootstrap
import Domain
import Foundation
import Gateway

/// Where an MCP server is and what it wants to see, as `add` and `update` take it.
struct ServerOptions: ParsableArguments {
    @Option(help: "The server's address, for streamable HTTP or --transport sse.")
    var url: String?

    @Option(help: "streamable-http, sse or stdio; told by --url or a command when left out.")
    var transport: UpstreamServer.Transport?

    @Option(help: "The variable that holds a token, sent as Authorization: Bearer.")
    var tokenEnv: String?

    @Option(help: "The file that holds such a token.")
    var tokenFile: String?

    @Flag(help: "It wants tokens of OAuth; `preloop servers login` gets them.")
    var oauth = false

    @Option(help: "Send the token in this header instead, as an API key.")
    var header: String?

    @Option(
        name: .customLong("env"),
        help: "NAME=VALUE, a variable of the program; kept encrypted. May be repeated."
    )
    var environment: [String] = []

    @Option(help: "always, conflict or never: when its tools get its name in front of theirs.")
    var prefix: UpstreamServer.PrefixMode?

    @Flag(
        inversion: .prefixedNo,
        help: "Whether tools that a later scan finds wait to be accepted."
    )
    var holdNew: Bool?

    @Flag(
        inversion: .prefixedNo,
        help: "Whether its readOnlyHint opens tools to credentials that may only read."
    )
    var trustHints: Bool?

    @Option(help: "What a call may take, in seconds, 1 to 110; 110 when left out.")
    var timeout: Int?

    func validate() throws {
        guard tokenEnv == nil || tokenFile == nil else {
            throw ValidationError("--token-env and --token-file exclude each other")
        }
        guard !oauth || (tokenEnv == nil && tokenFile == nil && url != nil) else {
            throw ValidationError("--oauth goes with --url, and without a token")
        }
        guard environment.allSatisfy({ $0.contains("=") && !$0.hasPrefix("=") }) else {
            throw ValidationError("--env is NAME=VALUE")
        }
        let longest = UpstreamServer.longestTimeLimitSeconds
        guard timeout.map({ (1...longest).contains($0) }) != false else {
            throw ValidationError("--timeout is from 1 to \(longest)")
        }
    }

    /// Puts what was given into a server.
    func fill(_ server: inout UpstreamServer, command: [String]) throws {
        if !command.isEmpty {
            guard url == nil else {
                throw CommandFailure(.usage, "a server has either --url or a command")
            }
            server.command = command
            server.url = ""
            server.transport = .stdio
        }
        if let url {
            server.url = url
            server.command = []
            server.transport = transport ?? .streamableHTTP
        }
        if let transport { server.transport = transport }
        if tokenEnv != nil || tokenFile != nil {
            server.authentication = header == nil ? .bearer : .apiKey
        }
        if oauth { server.authentication = .oauth }
        if let header { server.headerName = header }
        server.prefix = prefix ?? server.prefix
        server.holdsNewTools = holdNew ?? server.holdsNewTools
        server.trustsHints = trustHints ?? server.trustsHints
        server.timeLimitSeconds = timeout ?? server.timeLimitSeconds
    }

    /// What is to be kept sealed; nil when nothing was given.
    func secret() throws -> UpstreamSecret? {
        guard tokenEnv != nil || tokenFile != nil || !environment.isEmpty else { return nil }
        var secret = UpstreamSecret(token: try token())
        for entry in environment {
            guard let mark = entry.firstIndex(of: "=") else { continue }
            secret.environment[String(entry[..<mark])] = String(entry[entry.index(after: mark)...])
        }
        return secret
    }

    private func token() throws -> String? {
        if let tokenEnv {
            let text = ProcessInfo.processInfo.environment[tokenEnv] ?? ""
            guard !text.isEmpty else {
                throw CommandFailure(.usage, "the variable `\(tokenEnv)` is not set")
            }
            return text
        }
        guard let tokenFile else { return nil }
        guard let bytes = FileManager.default.contents(atPath: tokenFile), bytes.count <= 16_384
        else { throw CommandFailure(.usage, "the file `\(tokenFile)` cannot be read") }
        var text = String(decoding: bytes, as: UTF8.self)
        while let last = text.unicodeScalars.last, last.properties.isWhitespace {
            text.unicodeScalars.removeLast()
        }
        return text
    }
}
