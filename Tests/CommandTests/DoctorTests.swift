import Domain
import Foundation
import Store
import StoreTestSupport
import Testing

struct DoctorTests {
    private func check(_ name: String, of result: Sandbox.Result) throws -> JSONValue? {
        try result.json["checks"]?.array?.first { $0["check"] == .string(name) }
    }

    @Test func `each thing that is wrong is named with its advice`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o644],
            ofItemAtPath: sandbox.home + "/secret.key"
        )
        let result = try sandbox.preloop("doctor", "--json")
        #expect(try check("database", of: result)?["status"] == "ok")
        #expect(try check("key file", of: result)?["status"] == "warning")
        #expect(try check("key file", of: result)?["advice"]?.string?.contains("chmod 600") == true)
        // Nothing is wrong with a model that nobody has fetched.
        #expect(try check("model", of: result)?["status"] == "missing")
        #expect(
            try check("model", of: result)?["advice"]?.string?.contains("models fetch") == true
        )
        #expect(try result.status == 1 && result.json["ok"] == false)
        let text = try sandbox.preloop("doctor").output
        #expect(text.contains("MISSING  model: `all-MiniLM-L6-v2` has not been fetched yet\n"))
        #expect(text.contains("to do: get it with `preloop models fetch`\n"))
        #expect(!text.contains("BROKEN   model"), "\(text)")
    }

    /// It called a token valid that the tracker had revoked since it was asked.
    @Test func `of a token is said what was looked at, for no tracker is asked`() async throws {
        let sandbox = try Sandbox(["TOKEN": "ghp_secret"])
        #expect(try sandbox.preloop("init").status == 0)
        // Nothing listens there.
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:9").status == 0)
        let untried = try check("tracker gh", of: sandbox.preloop("doctor", "--json"))
        #expect(untried?["status"] == "ok")
        #expect(
            untried?["detail"]
                == "token stored, never tried out; `preloop trackers test gh` asks the service"
        )
        let store = try await sandbox.store()
        try await store.write { connection, account in
            let tracker = try TrackerTable.list(account: account, on: connection)[0]
            try TrackerTable.setStatus(
                .valid,
                detail: nil,
                checkedAt: Timestamp(milliseconds: 1_700_000_000_000),
                of: tracker.id,
                account: account,
                on: connection
            )
        }
        try await store.database.close()
        let tried = try check("tracker gh", of: sandbox.preloop("doctor", "--json"))
        let detail = tried?["detail"]?.string ?? ""
        #expect(detail.hasPrefix("token stored, valid on 2023-11-14T22:13:20"), "\(detail)")
    }

    @Test(.enabled(if: Engine.current == .sqlite, "damages the file"))
    func `a damaged database is reported, not repaired`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let path = sandbox.home + "/preloop.db"
        for suffix in ["-wal", "-shm"] {
            try FileManager.default.removeItem(atPath: path + suffix)
        }
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes.replaceSubrange(100..<4096, with: Data(repeating: 0xAA, count: 3996))
        try bytes.write(to: URL(fileURLWithPath: path))
        let result = try sandbox.preloop("doctor", "--json")
        #expect(result.status == 1)
        #expect(try check("database", of: result)?["status"] == "broken")
        let list = try sandbox.preloop("trackers", "list")
        #expect(list.status == 1)
        #expect(list.errors.contains("damaged"))
    }

    @Test func `other weights than the default model's are told by their checksum`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let folder = URL(fileURLWithPath: sandbox.home + "/models/all-MiniLM-L6-v2")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data("not these".utf8).write(to: folder.appendingPathComponent("model.safetensors"))
        let model = try check("model", of: sandbox.preloop("doctor", "--json"))
        #expect(model?["status"] == "broken")
        // SHA-256 of the file above, by sha256sum.
        let digest = "e5be27a64e06683c6568ca684ab714d94c54e50fa02ba5f159f8d3f13d5836b8"
        #expect(model?["detail"]?.string?.contains("has SHA-256 \(digest)") == true)
        #expect(model?["advice"]?.string?.contains("preloop models fetch") == true)
    }
}
