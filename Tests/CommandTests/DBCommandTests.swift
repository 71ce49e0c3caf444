import Bootstrap
import Domain
import Foundation
import Search
import Store
import StoreTestSupport
import Testing

/// `preloop db`; what archives are is Store's to test.
struct DBCommandTests {
    @Test func `status and migrate tell the schema before and after`() throws {
        let sandbox = try Sandbox()
        let fresh = try sandbox.preloop("db", "migrate", "--json")
        #expect(fresh.status == 0, "\(fresh.errors)")
        #expect(try fresh.json["applied"]?.array?.count == Migration.all.count)
        let again = try sandbox.preloop("db", "migrate")
        #expect(again.output.contains("already"))
        let status = try sandbox.preloop("db", "status", "--json").json
        #expect(status["schema"] == .integer(Int64(Migration.all.count)))
        #expect(status["pending"] == [])
        #expect(status["rows"]?["issues"] == 0)
        let text = try sandbox.preloop("db", "status").output
        #expect(text.contains("schema \(Migration.all.count)"))
    }

    /// The status made the file it was asked about.
    @Test(
        .enabled(if: Engine.current == .sqlite, "the database of a server is there"),
        arguments: [["status"], ["status", "--json"], ["backup", "x"], ["copy", "--to", "x.db"]]
    )
    func `who only looks makes no database`(words: [String]) throws {
        let sandbox = try Sandbox()
        try FileManager.default.createDirectory(
            atPath: sandbox.home,
            withIntermediateDirectories: true
        )
        let looked = try sandbox.start("preloop", ["db"] + words).wait()
        #expect(looked.status == 1)
        #expect(looked.errors.contains("there is no installation"))
        #expect(looked.errors.contains("preloop init"))
        #expect(looked.output.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: sandbox.home).isEmpty)
    }

    /// It was told to begin anew, beside the key of an installation on a server.
    @Test(.enabled(if: Engine.current == .sqlite, "removes the file"))
    func `a home with a key and no database is told of the missing variable`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: sandbox.home + "/preloop.db" + suffix)
        }
        for words in [["trackers", "list"], ["db", "status"]] {
            let result = try sandbox.start("preloop", words).wait()
            #expect(result.status == 1)
            #expect(result.errors.contains("`DATABASE_URL` is probably missing"))
            #expect(!result.errors.contains("there is no installation"))
        }
        #expect(!FileManager.default.fileExists(atPath: sandbox.home + "/preloop.db"))
    }

    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `who copies to a server is told what goes on with the file`() throws {
        let sandbox = try Sandbox()
        let file = ["DATABASE_URL": ""]
        #expect(try sandbox.preloop("init", environment: file).status == 0)
        let target = try Engine.current.database()
        let copied = try sandbox.preloop("db", "copy", "--to", target.address, environment: file)
        #expect(copied.status == 0, "\(copied.errors)")
        #expect(copied.output.contains("Set DATABASE_URL"))
        #expect(copied.output.contains("`\(sandbox.home)/preloop.db` stays"))
    }

    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `the status of an empty database says how to begin, and what is there of pgvector`()
        throws
    {
        let sandbox = try Sandbox()
        let empty = try sandbox.preloop("db", "status")
        #expect(empty.status == 0, "\(empty.errors)")
        #expect(empty.output.contains("no installation in it yet: `preloop init`"))
        #expect(!empty.output.contains("without pgvector"))
        let json = try sandbox.preloop("db", "status", "--json").json
        #expect(json["schema"] == 0)
        // Another test may have made it meanwhile; the server has it in any case.
        #expect(json["vector_extension_available"] == true)
    }

    /// It said that vectors are searched in memory whatever was wanted.
    @Test func `without pgvector the status tells where vectors are searched, if anywhere`() {
        let state = DatabaseStatus.VectorExtension.absent
        #expect(state.lines(for: .memory).joined().contains("are searched in memory"))
        let wanted = state.lines(for: .pgvector).joined()
        #expect(!wanted.contains("in memory"))
        #expect(wanted.contains("PRELOOP_VECTOR_BACKEND is `pgvector`"))
        #expect(wanted.contains("postgresql-NN-pgvector"))
    }

    @Test func `a backup is restored elsewhere, and tokens open with the key`() throws {
        let sandbox = try Sandbox(["TOKEN": "t"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: "https://example.com").status == 0)
        let file = sandbox.home + "/backup"
        let backup = try sandbox.preloop("db", "backup", file)
        #expect(backup.status == 0, "\(backup.errors)")
        #expect(backup.output.contains("secret.key"))
        let kept = try Data(contentsOf: URL(fileURLWithPath: file))
        let second = try sandbox.preloop("db", "backup", file)
        #expect(second.status == 1 && second.errors.contains("--force"), "\(second.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == kept)
        #expect(try sandbox.preloop("db", "backup", file, "--force").status == 0)
        let other = try Sandbox(["TOKEN": "t"])
        let verified = try other.preloop("db", "restore", file, "--verify-only")
        #expect(verified.output.contains("whole"))
        let restored = try other.preloop("db", "restore", file)
        #expect(restored.status == 0, "\(restored.errors)")
        #expect(restored.output.contains("preloop doctor --vectors --repair"))
        try FileManager.default.copyItem(
            atPath: sandbox.home + "/secret.key",
            toPath: other.home + "/secret.key"
        )
        let checks = try other.preloop("doctor", "--json").json["checks"]?.array ?? []
        #expect(checks.first { $0["check"] == "tracker gh" }?["status"] == "ok")
        let refused = try other.preloop("db", "restore", file)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("--force"))
        #expect(try other.preloop("db", "restore", file, "--force").status == 0)
    }

    @Test func `a database is copied into a file and from there back`() throws {
        let sandbox = try Sandbox(["TOKEN": "t"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: "https://example.com").status == 0)
        let file = sandbox.home + "/copy.db"
        let copied = try sandbox.preloop("db", "copy", "--to", file, "--json")
        #expect(copied.status == 0, "\(copied.errors)")
        let refused = try sandbox.preloop("db", "copy", "--to", file)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("not empty"))
        // The error named no path.
        let folder = try sandbox.preloop("db", "copy", "--to", sandbox.home)
        #expect(folder.status == 1)
        #expect(folder.errors.contains("nothing was copied to `\(sandbox.home)`"))
        #expect(folder.errors.contains("is a directory"), "\(folder.errors)")
        let target = try Engine.current.database()
        let home = try Sandbox()
        try FileManager.default.createDirectory(
            atPath: home.home,
            withIntermediateDirectories: true
        )
        try FileManager.default.moveItem(atPath: file, toPath: home.home + "/preloop.db")
        let back = try home.preloop(
            "db",
            "copy",
            "--to-env",
            "TARGET",
            "--json",
            environment: ["TARGET": target.address, "DATABASE_URL": ""]
        )
        #expect(back.status == 0, "\(back.errors)")
        // Accounts get an identity of their own where they are written, and leases nobody holds.
        func tables(_ result: Sandbox.Result) throws -> [JSONValue] {
            (try result.json["tables"]?.array ?? []).filter {
                $0["table"] != "accounts" && $0["table"] != "leases"
            }
        }
        #expect(try tables(back) == tables(copied) && tables(back).count > 10)
    }

    @Test func `a file that is no archive is refused with a reason`() throws {
        let sandbox = try Sandbox()
        let file = sandbox.home + "-nothing"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data("hello\n".utf8).write(to: URL(fileURLWithPath: file))
        let refused = try sandbox.preloop("db", "restore", file)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("does not begin as an archive"))
        let missing = try sandbox.preloop("db", "restore", file + "x")
        #expect(missing.errors.contains("No such file"))
    }
}
