import Bootstrap
import Domain
import Foundation
import Search
import Store
import StoreTestSupport
import Testing

/// What `doctor` and `index` say and do of accounts beside the installation's own.
///
/// They looked at that one alone: what was wrong with the others stayed so for good.
struct AccountIndexTests {
    private static let other = AccountID(2)
    private static let title = "account 2 (bob's organization)"

    /// Two accounts with two indexed issues each, and one into which nothing was read.
    private func made(_ environment: [String: String] = [:]) async throws -> IndexedSandbox {
        let indexed = try IndexedSandbox(environment, isAlone: true)
        try indexed.add("crash when a file is opened", "login token is refused")
        let settings = try Settings(environment: indexed.sandbox.environment)
        let installation = try await Installation.open(settings)
        let accounts = try await installation.store.database.write { connection in
            try ["bob", "carol"].map { name in
                try AccountTable.create(
                    name: "\(name)'s organization",
                    createdAt: Timestamp(milliseconds: 1_700_000_000_000),
                    on: connection
                )
            }
        }
        #expect(accounts == [Self.other, AccountID(3)])
        let theirs = installation.viewed(by: Self.other)
        _ = try await IssueImport(store: theirs.store)
            .run(path: indexed.sandbox.home + "/corpus.jsonl")
        let pipeline = try await theirs.pipeline()
        _ = try await pipeline.drain()
        try await pipeline.close()
        try await installation.close()
        return indexed
    }

    private func check(_ name: String, of result: Sandbox.Result) throws -> JSONValue? {
        try result.json["checks"]?.array?.first { $0["check"] == .string(name) }
    }

    private func change(_ indexed: IndexedSandbox, _ statements: SQL...) async throws {
        let store = try await indexed.sandbox.store()
        try await store.database.write { connection in
            for statement in statements { try connection.execute(statement) }
        }
        try await store.database.close()
    }

    /// Gives the second account's windows another vector than their snapshot has.
    private func makeSnapshotDiffer(_ indexed: IndexedSandbox) async throws {
        let vector = VectorBytes.encode([1] + [Float](repeating: 0, count: 31))
        try await change(
            indexed,
            "UPDATE passages SET vector = \(vector) WHERE account_id = \(Self.other)"
        )
    }

    @Test func `another account's vectors are compared with its snapshot, and mended`()
        async throws
    {
        let indexed = try await made()
        defer { indexed.remove() }
        let name = "vectors in the snapshot of \(Self.title)"
        let whole = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(whole.status == 0, "\(whole.output)")
        #expect(try check(name, of: whole)?["status"] == "ok")
        #expect(try check(name, of: whole)?["account"] == 2)
        #expect(try check("vectors in the snapshot", of: whole)?["account"] == nil)
        // Nothing is said of an account into which nothing was read.
        let accounts = try whole.json["vectors"]?["accounts"]?.array ?? []
        #expect(accounts.compactMap { $0["account"] } == [1, 2])
        #expect(accounts.allSatisfy { $0["snapshot"]?["vectors"] == 4 })
        #expect(!whole.output.contains("carol"))
        try await makeSnapshotDiffer(indexed)
        let damaged = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(damaged.status == 1)
        #expect(try check(name, of: damaged)?["status"] == "broken")
        #expect(try check("vectors in the snapshot", of: damaged)?["status"] == "ok")
        let faults = try damaged.json["vectors"]?["accounts"]?[1]?["snapshot"]?["faults"]
        #expect(faults?["different"] == 4)
        #expect(try damaged.json["vectors"]?["snapshot"]?["faults"]?["different"] == 0)
        let text = try indexed.sandbox.preloop("doctor", "--vectors").output
        #expect(text.contains("BROKEN   \(name): "), "\(text)")
        let mended = try indexed.sandbox.preloop("doctor", "--vectors", "--repair", "--json")
        #expect(try check(name, of: mended)?["detail"]?.string?.hasSuffix("made anew") == true)
        let after = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        // The mirror, where there is one, has been mended too.
        #expect(after.status == 0, "\(after.output)")
    }

    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `another account's mirror is compared row by row, and mended`() async throws {
        let indexed = try await made(["PRELOOP_VECTOR_BACKEND": "pgvector"])
        defer { indexed.remove() }
        let name = "vectors in pgvector of \(Self.title)"
        try await change(
            indexed,
            """
            UPDATE passage_vectors SET revision = revision - 1 WHERE account_id = 2
                AND passage_id = (SELECT MAX(passage_id) FROM passage_vectors WHERE account_id = 2)
            """,
            """
            DELETE FROM passage_vectors WHERE account_id = 2
                AND passage_id = (SELECT MIN(passage_id) FROM passage_vectors WHERE account_id = 2)
            """
        )
        // Counting alone tells that one is missing.
        let counted = try indexed.sandbox.preloop("doctor", "--json")
        #expect(counted.status == 1)
        #expect(try check("pgvector of \(Self.title)", of: counted)?["status"] == "broken")
        #expect(try check("pgvector", of: counted)?["status"] == "ok")
        let damaged = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(damaged.status == 1)
        #expect(try check(name, of: damaged)?["status"] == "broken")
        #expect(try check("vectors in pgvector", of: damaged)?["status"] == "ok")
        let faults = try damaged.json["vectors"]?["accounts"]?[1]?["mirror"]?["faults"]
        #expect(faults?["missing"] == 1 && faults?["stale"] == 1)
        #expect(try damaged.json["vectors"]?["mirror"]?["rows"] == 4)
        let verified = try indexed.sandbox.preloop("index", "verify")
        #expect(verified.status == 1)
        #expect(verified.errors.contains("\(Self.title): the indexes differ"), "\(verified.errors)")
        let mended = try indexed.sandbox.preloop("doctor", "--vectors", "--repair", "--json")
        #expect(try check(name, of: mended)?["detail"]?.string?.hasSuffix("mended") == true)
        let after = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(after.status == 0, "\(after.output)")
        #expect(try after.json["vectors"]?["accounts"]?[1]?["mirror"]?["rows"] == 4)
        #expect(try indexed.sandbox.preloop("index", "verify").status == 0)
    }

    @Test func `another account's indexes are verified and made anew`() async throws {
        let indexed = try await made()
        defer { indexed.remove() }
        let whole = try indexed.sandbox.preloop("index", "verify")
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(whole.output.contains("\n\(Self.title):\n"), "\(whole.output)")
        try await makeSnapshotDiffer(indexed)
        let differing = try indexed.sandbox.preloop("index", "verify", "--json")
        #expect(differing.status == 1)
        #expect(differing.errors.contains("\(Self.title): the indexes differ"))
        #expect(try differing.json["index"]?["sound"] == true)
        let accounts = try differing.json["accounts"]?.array ?? []
        #expect(accounts.compactMap { $0["account"] } == [1, 2])
        #expect(accounts.compactMap { $0["index"]?["different"] } == [0, 4])
        let rebuilt = try indexed.sandbox.preloop("index", "rebuild")
        #expect(rebuilt.status == 0, "\(rebuilt.errors)")
        #expect(rebuilt.output.hasPrefix("Rebuilt the indexes; "))
        #expect(rebuilt.output.contains("\nRebuilt the indexes of \(Self.title); "))
        #expect(try indexed.sandbox.preloop("index", "verify").status == 0)
        let json = try indexed.sandbox.preloop("index", "rebuild", "--json").json
        #expect(json["index"]?["compared"] == 2)
        #expect(json["accounts"]?[1]?["index"]?["compared"] == 2)
        // Nothing is made for an account into which nothing was read.
        let files = indexed.sandbox.home + "/index"
        #expect(FileManager.default.fileExists(atPath: files + "/2"))
        #expect(!FileManager.default.fileExists(atPath: files + "/3"))
    }

    @Test func `an account whose file cannot be used keeps no other from being looked at`()
        async throws
    {
        let indexed = try await made()
        defer { indexed.remove() }
        try Data(repeating: 0xA5, count: 9_000)
            .write(to: URL(fileURLWithPath: indexed.snapshot))
        try await makeSnapshotDiffer(indexed)
        let verified = try indexed.sandbox.preloop("index", "verify", "--json")
        #expect(verified.status == 1)
        #expect(try verified.json["index"] == .null)
        #expect(try verified.json["files"]?[0]?["status"] == "warning")
        #expect(try verified.json["accounts"]?[1]?["index"]?["different"] == 4)
        #expect(verified.errors.contains("error: an index file cannot be used"))
        #expect(verified.errors.contains("error: \(Self.title): the indexes differ"))
    }

    @Test func `with one account nothing is said of accounts`() throws {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        try indexed.add("crash when a file is opened", "login token is refused")
        for words in [["doctor", "--vectors"], ["index", "verify"], ["index", "rebuild"]] {
            let result = try indexed.sandbox.start("preloop", words).wait()
            #expect(result.status == 0, "\(result.errors)")
            #expect(!result.output.contains("account"), "\(result.output)")
        }
        let verified = try indexed.sandbox.preloop("index", "verify", "--json").json
        #expect(verified["accounts"]?.array?.count == 1)
        #expect(verified["accounts"]?[0]?["index"] == verified["index"])
    }

    /// With memory for searches here and pgvector elsewhere nobody made the index, and nobody said.
    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `many vectors without an index in the database are told of, whoever searches here`()
        async throws
    {
        let indexed = try IndexedSandbox(isAlone: true)
        defer { indexed.remove() }
        try indexed.add("crash when a file is opened", "login token is refused")
        let few = try indexed.sandbox.preloop("doctor", "--json")
        #expect(try check("pgvector index", of: few) == nil)
        // Of another length, for they only fill the table.
        try await change(
            indexed,
            """
            INSERT INTO passage_vectors (account_id, passage_id, model_id, issue_id, revision,
                dimension, vector)
            SELECT 1, 1000000 + n, 1000000, 1, 1, 384,
                array_fill(0.05::real, ARRAY[384])::halfvec
            FROM generate_series(1, 6000) AS n
            """
        )
        for backend in ["memory", "pgvector"] {
            let result = try indexed.sandbox.preloop(
                "doctor",
                "--json",
                environment: ["PRELOOP_VECTOR_BACKEND": backend]
            )
            let told = try check("pgvector index", of: result)
            #expect(told?["status"] == "warning", "\(backend)")
            let detail = told?["detail"]?.string ?? ""
            #expect(detail.contains("no HNSW index for vectors of 32 numbers"), "\(detail)")
            let advice = told?["advice"]?.string ?? ""
            #expect(advice.contains("preloop doctor --vectors --repair"), "\(advice)")
        }
        #expect(try indexed.sandbox.preloop("doctor", "--vectors", "--repair").status == 0)
        let made = try indexed.sandbox.preloop("doctor", "--json")
        #expect(try check("pgvector index", of: made) == nil, "\(made.output)")
    }
}
