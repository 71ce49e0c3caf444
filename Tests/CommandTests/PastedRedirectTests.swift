import Bootstrap
import Domain
import Foundation
import Glibc
import Testing

@testable import preloop

/// Signing in to MCP servers from machines without a browser.
@Suite struct PastedRedirectTests {
    /// What is read of these pieces, each written when the one before has been read.
    private func query(
        of pieces: [String],
        isEnded: Bool = true,
        within seconds: Int = 60
    ) async throws -> [(name: String, value: String)] {
        let pipe = Pipe()
        let (reader, writer) = (pipe.fileHandleForReading, pipe.fileHandleForWriting)
        for piece in pieces { try writer.write(contentsOf: Data(piece.utf8)) }
        if isEnded { try writer.close() }
        // Until then it is open, unless it was to be ended.
        defer {
            try? writer.close()
            try? reader.close()
        }
        return try await PastedRedirect(reader.fileDescriptor).query(within: seconds)
    }

    @Test(arguments: ["\n", "\r\n", "#_=_\n", ""])
    func `the address is read out of a line, however it ends`(_ end: String) async throws {
        let address = PastedRedirect.address
        let found = try await query(of: ["\n  ", address, "?state=a%2Fb&code=c+d&iss" + end])
        #expect(found.map(\.name) == ["state", "code", "iss"])
        #expect(found.map(\.value) == ["a/b", "c d", ""])
    }

    @Test(arguments: [
        "", "\n\n", "code", "http://127.0.0.1:49151/other?state=a\n",
        "https://127.0.0.1:49151/callback?state=a\n",
        "http://127.0.0.1:49151/callback@evil.example/?state=a\n",
    ])
    func `another address, or none, is refused`(_ text: String) async throws {
        await #expect {
            _ = try await query(of: [text])
        } throws: { error in
            (error as? CommandFailure)?.status == .usage
        }
    }

    @Test func `what is longer than an address is not read to its end`() async throws {
        await #expect {
            let text = String(repeating: "x", count: 20_000)
            _ = try await query(of: [text], isEnded: false)
        } throws: { error in
            (error as? CommandFailure)?.reason?.contains("longer") == true
        }
    }

    @Test func `nobody is waited for without end`() async throws {
        await #expect {
            _ = try await query(of: [], isEnded: false, within: 1)
        } throws: { error in
            (error as? CommandFailure)?.status == .tryLater
        }
    }

    /// Where the authorization server sends a browser that opens this page.
    private func redirect(of page: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["curl", "-s", "-o", "/dev/null", "-w", "%{redirect_url}", page]
        return try RunningProgram(process).waitForExit().output
    }

    /// The page that a command tells somebody to open.
    private func page(_ login: RunningProgram) throws -> String {
        let told = try login.complaint(with: PastedRedirect.address)
        let line = told.split(separator: "\n").first { $0.contains("/authorize?") }
        return String(try #require(line, "\(told)"))
    }

    @Test func `somebody signs in by an address that is pasted`() throws {
        let sandbox = try Sandbox.withServers()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", PythonUpstream.script("oauth_server.py")]
        let authorization = try RunningProgram(process)
        defer { authorization.signal(SIGKILL) }
        let line = try authorization.answer(to: "").split(separator: "\n").first
        let url = String(try #require(line))
        let added = try sandbox.preloop(
            "servers",
            "add",
            "guarded",
            "--url",
            url,
            "--oauth",
            "--no-scan"
        )
        #expect(added.status == 0, "\(added.errors)")
        let words = ["servers", "login", "guarded", "--paste", "--json"]
        let login = try sandbox.start("preloop", words)
        let back = try redirect(of: try page(login))
        let result = try login.wait(input: "\n\(back)\n")
        #expect(result.status == 0, "\(result.errors)")
        #expect(try result.json["name"] == "guarded")
        // The address of one sign-in is none of the next.
        let other = try sandbox.start("preloop", words)
        _ = try page(other)
        let refused = try other.wait(input: back + "\n")
        #expect(refused.status == 2 && refused.errors.contains("another sign-in"))
        let both = try sandbox.preloop(
            "servers",
            "login",
            "guarded",
            "--paste",
            "--client-id",
            "robot",
            "--client-secret-env",
            "ROBOT"
        )
        #expect(both.status != 0 && both.errors.contains("--paste"), "\(both.errors)")
    }
}
