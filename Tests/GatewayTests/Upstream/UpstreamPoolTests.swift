import Domain
import Foundation
import HTTPClient
import MCP
import TestSupport
import Testing

@testable import Gateway

/// Sessions with servers that misbehave, over real processes and connections.
@Suite struct UpstreamPoolTests {
    private static let hostile = UpstreamScript.path("mcp_hostile.py")

    private func settings() -> UpstreamSettings {
        UpstreamSettings(
            environment: ProcessInfo.processInfo.environment.merging(["WORD": "SECRET-WORD"]) {
                $1
            },
            allowed: ["127.0.0.0/8"],
            variables: ["WORD"],
            version: "1"
        )
    }

    private func pool(
        _ server: UpstreamServer,
        _ secret: UpstreamSecret = UpstreamSecret()
    ) throws -> UpstreamPool {
        UpstreamPool(
            .init(server: server, secret: secret),
            settings: settings(),
            transport: try CurlClient(configuration: .init(version: "test")),
            notice: { _ in }
        )
    }

    private func program(_ mode: String, _ file: String? = nil) throws -> UpstreamPool {
        let server = UpstreamServer(
            id: UpstreamServerID(1),
            name: "hostile",
            transport: .stdio,
            command: ["python3", Self.hostile, "stdio", mode] + (file.map { [$0] } ?? []),
            createdAt: Timestamp(milliseconds: 0)
        )
        return try pool(server, UpstreamSecret(environment: ["WORD": "${WORD}"]))
    }

    private func address(_ url: String) throws -> UpstreamPool {
        try pool(
            UpstreamServer(
                id: UpstreamServerID(1),
                name: "hostile",
                transport: .streamableHTTP,
                url: url,
                createdAt: Timestamp(milliseconds: 0)
            )
        )
    }

    private func call(_ pool: UpstreamPool) async throws -> JSONObject {
        try await pool.perform(
            for: "ann",
            capabilities: JSONObject(),
            isRepeatable: false
        ) { connection in
            try await connection.call("tools/call", JSONObject([("name", "t")]))
        }
    }

    /// What a call fails with.
    private func failure(_ pool: UpstreamPool) async throws -> UpstreamError {
        do {
            let result = try await call(pool)
            Issue.record("it succeeded: \(result)")
            throw CancellationError()
        } catch let error as UpstreamError {
            return error
        }
    }

    private func calls(in file: String) -> Int {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").count
    }

    private func scratchFile() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    }

    @Test func `a program that behaves answers, and ends when it is told to`() async throws {
        let pool = try program("good")
        let text = try await call(pool)["content"]?[0]?["text"]
        #expect(text == "good")
        await pool.close()
        await #expect(throws: UpstreamError.sessionEnded) { try await call(pool) }
    }

    @Test func `a program that does not want to end is ended`() async throws {
        let pool = try program("stubborn")
        #expect(try await call(pool)["content"] != nil)
        await pool.close()
    }

    @Test func `what dies in the middle of a call is begun anew for the next`() async throws {
        let file = scratchFile()
        let pool = try program("dies", file)
        for number in 1...2 {
            let error = try await failure(pool)
            guard case .ended(let status, let errors) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(status == "exit status 3")
            // What it was given in secret is not repeated.
            #expect(errors == "about to die of …")
            #expect(calls(in: file) == number)
        }
        await pool.close()
    }

    @Test func `a program that cannot be started says why, and is left alone after a while`()
        async throws
    {
        let pool = try pool(
            UpstreamServer(
                id: UpstreamServerID(1),
                name: "none",
                transport: .stdio,
                command: ["/no/such/program"],
                createdAt: Timestamp(milliseconds: 0)
            )
        )
        for _ in 0..<CircuitBreaker.threshold {
            let error = try await failure(pool)
            guard case .notStarted("/no/such/program", _) = error else {
                Issue.record("\(error)")
                return
            }
            // To wait would not help.
            #expect(error.hint == "install the program, or give its whole path")
        }
        guard case .suspended = try await failure(pool) else {
            Issue.record("it was tried again")
            return
        }
    }

    @Test(arguments: ["stdio", "http"])
    func `a server that hangs is given up by its caller`(_ transport: String) async throws {
        let script =
            transport == "http" ? try UpstreamScript("mcp_hostile.py", "http", "hangs") : nil
        let pool = try script.map { try address($0.url) } ?? program("hangs")
        let work = Task { try await call(pool) }
        try await Task.sleep(for: .seconds(1))
        work.cancel()
        await #expect(throws: CancellationError.self) { try await work.value }
        await pool.close()
    }

    @Test(arguments: ["stdio", "http"], ["lies", "huge", "garbage", "deep"])
    func `what is no answer of the protocol fails the call`(
        _ transport: String,
        _ mode: String
    ) async throws {
        let script = transport == "http" ? try UpstreamScript("mcp_hostile.py", "http", mode) : nil
        let pool = try script.map { try address($0.url) } ?? program(mode)
        if transport == "stdio", mode == "huge" || mode == "deep" {
            // Whose answer it was cannot be told: its caller's own limit ends the call.
            let work = Task { try await call(pool) }
            try await Task.sleep(for: .seconds(2))
            work.cancel()
            await #expect(throws: CancellationError.self) { try await work.value }
        } else {
            switch try await failure(pool) {
            case .refused(let error): #expect(error.message.contains("no message"))
            case .invalid, .tooLarge, .lost: break
            case let other: Issue.record("\(other)")
            }
        }
        await pool.close()
    }

    @Test(.timeLimit(.minutes(2)))
    func `a flood over HTTP is cut off`() async throws {
        let script = try UpstreamScript("mcp_hostile.py", "http", "floods")
        let pool = try address(script.url)
        let before = try Self.peakBytes()
        guard case .invalid(let reason) = try await failure(pool) else {
            Issue.record("it was not cut off")
            return
        }
        #expect(reason.contains("more than could be taken"))
        // What waits, what is read of it and its events, of 1.2 GB. Others fill memory, too.
        if Measuring.isWanted {
            #expect(try Self.peakBytes() - before < 6 * HTTPEndpoint.waitingBytes)
        }
        await pool.close()
    }

    @Test(.timeLimit(.minutes(2)))
    func `a flood of a program is read as fast as it comes, and its answer found`() async throws {
        let pool = try program("floods")
        let before = try Self.peakBytes()
        #expect(try await call(pool)["content"]?[0]?["text"] == "good")
        if Measuring.isWanted { #expect(try Self.peakBytes() - before < 16 << 20) }
        await pool.close()
    }

    /// The most memory that the process has had.
    private static func peakBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return try #require(Int(line.filter(\.isNumber))) << 10
    }

    @Test func `a session that was forgotten is begun anew, and the call made once`() async throws {
        let file = scratchFile()
        let script = try UpstreamScript("mcp_hostile.py", "http", "forgets", file)
        let pool = try address(script.url)
        #expect(try await call(pool)["content"] != nil)
        #expect(try await call(pool)["content"] != nil)
        #expect(calls(in: file) == 2)
        await pool.close()
    }

    @Test(arguments: ["resets", "html"])
    func `a call that was sent is never sent again`(_ mode: String) async throws {
        let file = scratchFile()
        let script = try UpstreamScript("mcp_hostile.py", "http", mode, file)
        let pool = try address(script.url)
        _ = try await failure(pool)
        #expect(calls(in: file) == 1)
        await pool.close()
    }

    @Test func `redirects are not followed`() async throws {
        let script = try UpstreamScript("mcp_hostile.py", "http", "redirects")
        let pool = try address(script.url)
        guard case .misconfigured(let reason) = try await failure(pool) else {
            Issue.record("it was followed")
            return
        }
        #expect(reason.contains("redirect"))
        await pool.close()
    }

    @Test func `addresses of this machine need the operator's word`() async throws {
        let script = try UpstreamScript("mcp_hostile.py", "http", "good")
        var settings = settings()
        settings.egress = EgressGuard()
        let server = UpstreamServer(
            id: UpstreamServerID(1),
            name: "here",
            transport: .streamableHTTP,
            url: script.url,
            createdAt: Timestamp(milliseconds: 0)
        )
        let pool = UpstreamPool(
            .init(server: server, secret: UpstreamSecret()),
            settings: settings,
            transport: try CurlClient(configuration: .init(version: "test")),
            notice: { _ in }
        )
        guard case .forbiddenAddress = try await failure(pool) else {
            Issue.record("it was asked")
            return
        }
    }

    @Test func `variables are given only when they are allowed and set`() throws {
        let settings = settings()
        #expect(try settings.expanded("a ${WORD} b ${WORD}") == "a SECRET-WORD b SECRET-WORD")
        #expect(try settings.expanded("$WORD $ {WORD}") == "$WORD $ {WORD}")
        for text in ["${PATH}", "${WORD", "${}", "${word}"] {
            #expect(throws: UpstreamError.self) { try settings.expanded(text) }
        }
        let variables = try settings.variables(of: ["KEY": "${WORD}"])
        #expect(variables["KEY"] == "SECRET-WORD")
        #expect(variables["WORD"] == nil && variables["PATH"] != nil)
    }
}
