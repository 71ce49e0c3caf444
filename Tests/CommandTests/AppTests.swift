import CryptoExtras
import Domain
import Foundation
import TestSupport
import Testing

/// A GitHub App on the command line, in place of a token.
struct AppTests {
    private let sandbox: Sandbox
    private let keyFile: String
    private let pem: String

    init() throws {
        sandbox = try Sandbox()
        pem = try _RSA.Signing.PrivateKey(keySize: .bits2048).pemRepresentation
        keyFile = sandbox.home + ".pem"
        try Data(pem.utf8).write(to: URL(fileURLWithPath: keyFile))
    }

    /// A GitHub that knows one App with one installation, and refuses its tokens as often as asked.
    private func service() throws -> ScriptedHTTPServer {
        try ScriptedHTTPServer { request in
            let isApp = request.headers["authorization"]?.hasPrefix("Bearer ey") == true
            // An Enterprise Server has its API there.
            let path = request.target.split(separator: "?")[0].dropFirst("/api/v3".utf8.count)
            switch (path, isApp) {
            case ("/app", true): return [.answer(text: #"{"id":7,"slug":"reader"}"#)]
            case ("/app/installations", true):
                return [.answer(text: #"[{"id":77,"account":{"login":"acme"}}]"#)]
            case ("/app/installations/77/access_tokens", true):
                return [
                    .answer(
                        201,
                        text: #"{"token":"ghs_1","permissions":{"issues":"read"}}"#
                    )
                ]
            case ("/installation/repositories", false):
                return [.answer(text: #"{"total_count":0,"repositories":[]}"#)]
            default: return [.answer(401, text: #"{"message":"Bad credentials"}"#)]
            }
        }
    }

    private func add(_ arguments: String...) throws -> Sandbox.Result {
        try sandbox.start("preloop", ["trackers", "add"] + arguments).wait()
    }

    @Test func `an App is tried out, stored sealed, and used by the next command`() throws {
        defer { try? FileManager.default.removeItem(atPath: keyFile) }
        let service = try service()
        let added = try add(
            "github",
            "--name",
            "gh",
            "--url",
            service.origin,
            "--app-id",
            "7",
            "--private-key-file",
            keyFile
        )
        #expect(added.status == 0, "\(added.errors)")
        #expect(added.output.contains("GitHub App reader, installation 77"))
        #expect(added.output.contains("lacks the permission `pull_requests`"))
        let tested = try sandbox.preloop("trackers", "test", "gh", "--json")
        #expect(tested.status == 0)
        #expect(try tested.json["user"] == "GitHub App reader, installation 77")
        let secret = pem.split(separator: "\n")[3]
        for name in ["preloop.db", "preloop.db-wal"] {
            // Whether there is a log depends on who closed the database last.
            let bytes = FileManager.default.contents(atPath: sandbox.home + "/" + name)
            #expect(bytes?.range(of: Data(secret.utf8)) == nil, "\(name) holds the key")
        }
        let updated = try sandbox.preloop(
            "trackers",
            "update",
            "gh",
            "--app-id",
            "7",
            "--private-key-file",
            keyFile,
            "--installation-id",
            "78"
        )
        #expect(updated.status == 4)
        #expect(updated.errors.contains("GitHub App 7"))
    }

    @Test(arguments: [
        ["github", "--name", "x", "--app-id", "7"],
        ["github", "--name", "x", "--private-key-file", "KEY"],
        ["github", "--name", "x", "--token-env", "T", "--app-id", "7"],
        ["github", "--name", "x", "--token-env", "T", "--installation-id", "7"],
        ["gitlab", "--name", "x", "--app-id", "7", "--private-key-file", "KEY"],
        ["github", "--name", "x", "--app-id", "a b", "--private-key-file", "KEY"],
        [
            "github", "--name", "x", "--app-id", "7", "--private-key-file", "KEY",
            "--installation-id", "0",
        ],
        ["github", "--name", "x", "--app-id", "7", "--private-key-file", "/dev/null"],
        ["github", "--name", "x", "--app-id", "7", "--private-key-file", "/nonexistent"],
    ])
    func `half an App, or what is none, is refused at once`(arguments: [String]) throws {
        defer { try? FileManager.default.removeItem(atPath: keyFile) }
        let given = arguments.map { $0 == "KEY" ? keyFile : $0 }
        let result = try sandbox.start("preloop", ["trackers", "add"] + given + ["--no-test"])
            .wait()
        #expect(result.status == 2, "\(result.errors)")
    }
}
