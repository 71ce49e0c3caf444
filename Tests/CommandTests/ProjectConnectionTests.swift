import Domain
import Store
import Synchronization
import TestSupport
import Testing

/// `POST /api/v1/projects/test-connection` of a running server, against a tracker on loopback.
struct ProjectConnectionTests {
    /// What the tracker answers, as GitHub does.
    private enum Mood {
        case open
        case hidden
        case tokenRefused

        var me: ScriptedHTTPServer.Step {
            switch self {
            case .open, .hidden: .answer(text: #"{"login":"bot"}"#)
            case .tokenRefused: .answer(401, text: #"{"message":"Bad credentials"}"#)
            }
        }

        var issues: ScriptedHTTPServer.Step {
            switch self {
            case .open: .answer(text: "[]")
            case .hidden, .tokenRefused: .answer(404, text: #"{"message":"Not Found"}"#)
            }
        }
    }

    /// The token alone was tried out: a project that it could not see any more was a success.
    @Test func `the token is tried on the project itself`() async throws {
        let mood = Mutex(Mood.open)
        let service = try ScriptedHTTPServer { request in
            let current = mood.withLock { $0 }
            if request.target.hasSuffix("/user") { return [current.me] }
            guard request.target.contains("/repositories/2/issues") else {
                return [.answer(404, text: "{}")]
            }
            return [current.issues]
        }
        defer { service.stop() }
        let sandbox = try Sandbox(["TOKEN": "secret"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: service.origin).status == 0)
        try await sandbox.follow("acme/tool")
        let server = try ServeProcess(sandbox)
        func test() throws -> JSONValue {
            let answer = try server.curl(
                "-X",
                "POST",
                "-H",
                "Authorization: Bearer \(server.key)",
                "-H",
                "Content-Type: application/json",
                "-d",
                #"{"organization": "acme", "project": "acme/tool"}"#,
                "\(server.origin)/api/v1/projects/test-connection"
            )
            #expect(answer.status == 200, "\(answer.body)")
            return try JSONParser.parse(answer.body)
        }
        let read = try test()
        #expect(read["success"] == true && read["message"]?.string?.contains("bot") == true)
        mood.withLock { $0 = .hidden }
        let hidden = try test()
        #expect(hidden["success"] == false, "\(hidden)")
        #expect(hidden["message"]?.string?.hasPrefix("not found: ") == true, "\(hidden)")
        // The token works, and is not blamed.
        let listed = try sandbox.preloop("trackers", "list", "--json").json
        #expect(listed["trackers"]?[0]?["status"] == "valid", "\(listed)")
        mood.withLock { $0 = .tokenRefused }
        let refused = try test()
        #expect(refused["success"] == false, "\(refused)")
        #expect(refused["message"]?.string?.contains("preloop trackers update gh") == true)
        #expect(try server.stop().status == 0)
    }
}
