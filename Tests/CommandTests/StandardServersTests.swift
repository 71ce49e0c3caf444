import Domain
import Foundation
import TestSupport
import Testing

/// Programs that others wrote, as people install them, behind the gateway.
@Suite(.serialized)
struct StandardServersTests {
    struct Failure: Error { var errors: String }

    /// Whether the tests' Python has a module.
    private static func has(_ module: String) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", "import \(module)"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    static let hasTime = has("mcp_server_time")
    static let hasGit = has("mcp_server_git")
    static let hasFetch = has("mcp_server_fetch")

    /// A sandbox with a server, and the names of the tools that it has.
    private func added(
        _ name: String,
        _ module: String,
        _ options: [String]
    ) throws -> (Sandbox, [String]) {
        let sandbox = try Sandbox.withServers()
        let words = ["servers", "add", name, "--", "python3", "-m", module] + options
        let result = try sandbox.start("preloop", words).wait()
        guard result.status == 0 else { throw Failure(errors: result.errors) }
        let listed = try sandbox.preloop("tools", "list", "--json").json["tools"]?.array ?? []
        return (sandbox, listed.compactMap { $0["name"]?.string })
    }

    private func call(
        _ sandbox: Sandbox,
        _ tool: String,
        _ arguments: JSONValue
    ) throws -> Sandbox.Result {
        try sandbox.preloop("tools", "call", tool, arguments.serializedText())
    }

    @Test(.enabled(if: hasTime, "scripts/setup --tests installs mcp-server-time"))
    func `mcp-server-time tells the time`() throws {
        let (sandbox, tools) = try added("time", "mcp_server_time", ["--local-timezone", "UTC"])
        #expect(tools.contains("get_current_time") && tools.contains("convert_time"))
        let test = try sandbox.preloop("servers", "test", "time", "--json").json
        #expect(test["tools"] == 2)
        let time = try call(sandbox, "get_current_time", ["timezone": "Asia/Tokyo"])
        #expect(time.status == 0 && time.output.contains("+09:00"), "\(time.errors)")
        let removed = try sandbox.preloop("servers", "remove", "time")
        #expect(removed.status == 0)
        #expect(try call(sandbox, "get_current_time", [:]).status == 5)
    }

    /// Runs git in a repository, untouched by whoever's settings there are.
    private func git(_ words: String..., in path: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            [
                "git", "-C", path, "-c", "user.name=Ann", "-c", "user.email=ann@example.com",
                "-c", "commit.gpgsign=false",
            ] + words
        process.environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin",
            "GIT_CONFIG_NOSYSTEM": "1", "HOME": path,
        ]
        let result = try RunningProgram(process).wait()
        guard result.status == 0 else { throw Failure(errors: result.errors) }
    }

    @Test(.enabled(if: hasGit, "scripts/setup --tests installs mcp-server-git"))
    func `mcp-server-git tells of a repository`() throws {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-repository-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        // A directory left behind in the temporary directory harms nobody.
        defer { try? FileManager.default.removeItem(atPath: path) }
        try git("init", "-q", "-b", "main", in: path)
        try "one".write(toFile: path + "/told.txt", atomically: true, encoding: .utf8)
        try git("add", "told.txt", in: path)
        try git("commit", "-q", "-m", "Tell of the first file", in: path)
        try "two".write(toFile: path + "/new.txt", atomically: true, encoding: .utf8)
        let (sandbox, tools) = try added("git", "mcp_server_git", ["--repository", path])
        #expect(tools.contains("git_status") && tools.contains("git_log"))
        let status = try call(sandbox, "git_status", ["repo_path": .string(path)])
        #expect(status.status == 0 && status.output.contains("new.txt"), "\(status.errors)")
        #expect(!status.output.contains("told.txt"))
        let arguments: JSONValue = ["repo_path": .string(path), "max_count": 1]
        let log = try call(sandbox, "git_log", arguments)
        #expect(log.output.contains("Tell of the first file"), "\(log.errors)")
        // What the server refuses comes back as its tool's error.
        let outside = try call(sandbox, "git_status", ["repo_path": "/"])
        #expect(outside.status == 1, "\(outside.output)")
    }

    /// A site with a page that programs may read and one that they may not.
    private static func site() throws -> ScriptedHTTPServer {
        try ScriptedHTTPServer { request in
            let (status, kind, text) =
                switch request.target {
                case "/robots.txt": ("200 OK", "text/plain", "User-agent: *\nDisallow: /private\n")
                case "/page":
                    (
                        "200 OK", "text/html",
                        "<html><body><h1>Harbour</h1><p>Ships leave at noon.</p></body></html>"
                    )
                case "/private": ("200 OK", "text/plain", "nothing for programs")
                default: ("404 Not Found", "text/plain", "no")
                }
            let answer = """
                HTTP/1.1 \(status)\r\nContent-Type: \(kind)\r\n\
                Content-Length: \(text.utf8.count)\r\nConnection: close\r\n\r\n\(text)
                """
            return [.send(Array(answer.utf8)), .close]
        }
    }

    @Test(.enabled(if: hasFetch, "scripts/setup --tests installs mcp-server-fetch"))
    func `mcp-server-fetch fetches a page, where the site allows it`() throws {
        let site = try Self.site()
        defer { site.stop() }
        let (sandbox, tools) = try added("fetch", "mcp_server_fetch", ["--allow-private-ips"])
        #expect(tools.contains("fetch"))
        // Raw: simplifying a page is a program of Node's, which the server would fetch.
        let page = try call(
            sandbox,
            "fetch",
            ["url": .string(site.origin + "/page"), "raw": true]
        )
        #expect(page.status == 0 && page.output.contains("Ships leave at noon"), "\(page.errors)")
        #expect(site.requests.map(\.target) == ["/robots.txt", "/page"])
        let refused = try call(sandbox, "fetch", ["url": .string(site.origin + "/private")])
        #expect(refused.status == 1, "\(refused.output)")
        #expect(!site.requests.contains { $0.target == "/private" })
        // Rules of a policy see the address.
        let policy = """
            metadata: {name: test}
            tools:
            - name: fetch/fetch
              conditions:
              - {condition_type: cel, expression: "args.url.endsWith('/page')", action: deny}
            """
        let file = sandbox.home + "/policy.yaml"
        try policy.write(toFile: file, atomically: true, encoding: .utf8)
        let applied = try sandbox.preloop("policy", "apply", file)
        #expect(applied.status == 0, "\(applied.errors)")
        let denied = try call(sandbox, "fetch", ["url": .string(site.origin + "/page")])
        #expect(denied.status == 1 && denied.errors.contains("Access denied"), "\(denied.errors)")
        #expect(site.requests.count { $0.target == "/page" } == 1)
    }
}
