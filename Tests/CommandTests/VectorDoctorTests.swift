import Domain
import Foundation
import Store
import StoreTestSupport
import Testing

/// `preloop doctor --vectors`, and searches by the database.
struct VectorDoctorTests {
    private static let titles = ["crash when a file is opened", "login token is refused"]

    private func check(_ name: String, of result: Sandbox.Result) throws -> JSONValue? {
        try result.json["checks"]?.array?.first { $0["check"] == .string(name) }
    }

    @Test func `a snapshot that differs is found, and mended when asked to`() throws {
        let indexed = try IndexedSandbox(isAlone: true)
        defer { indexed.remove() }
        try indexed.add(Self.titles[0], Self.titles[1])
        #expect(try indexed.sandbox.preloop("index", "rebuild").status == 0)
        let whole = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(try check("vectors in the snapshot", of: whole)?["status"] == "ok")
        #expect(try check("vectors in pgvector", of: whole)?["status"] == "ok")
        let counts = try whole.json["vectors"]
        #expect(counts?["snapshot"]?["vectors"] == 4)
        switch Engine.current {
        case .sqlite: #expect(counts?["mirror"] == .null)
        case .postgres: #expect(counts?["mirror"]?["rows"] == 4)
        }
        try Data(repeating: 0xA5, count: 9_000)
            .write(to: URL(fileURLWithPath: indexed.snapshot))
        let damaged = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(damaged.status == 1)
        #expect(try check("vectors in the snapshot", of: damaged)?["status"] == "broken")
        let advice = try check("vectors in the snapshot", of: damaged)?["advice"]?.string
        #expect(advice?.contains("--repair") == true)
        let mended = try indexed.sandbox.preloop("doctor", "--vectors", "--repair", "--json")
        #expect(try check("vectors in the snapshot", of: mended)?["status"] == "ok")
        let after = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(after.status == 0, "\(after.output)")
        #expect(try after.json["vectors"]?["snapshot"]?["vectors"] == 4)
    }

    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `rows of the mirror that are missing are found, and mended when asked to`() async throws {
        let indexed = try IndexedSandbox(
            ["PRELOOP_VECTOR_BACKEND": "pgvector"],
            isAlone: true
        )
        defer { indexed.remove() }
        try indexed.add(Self.titles[0], Self.titles[1])
        let store = try await indexed.sandbox.store()
        _ = try await store.write { connection, account in
            // Behind the program's back.
            try connection.execute(
                """
                DELETE FROM passage_vectors WHERE account_id = \(account) AND passage_id IN (
                    SELECT MIN(passage_id) FROM passage_vectors WHERE account_id = \(account)
                )
                """
            )
        }
        // Searches would leave it out, so that counting alone has to tell.
        let counted = try check("pgvector", of: indexed.sandbox.preloop("doctor", "--json"))
        #expect(counted?["status"] == "broken")
        #expect(counted?["detail"]?.string?.contains("4 windows in the store, 3 mirrored") == true)
        #expect(counted?["advice"]?.string?.contains("--vectors --repair") == true)
        let damaged = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(damaged.status == 1)
        #expect(try check("vectors in pgvector", of: damaged)?["status"] == "broken")
        let mended = try indexed.sandbox.preloop("doctor", "--vectors", "--repair", "--json")
        #expect(try check("vectors in pgvector", of: mended)?["status"] == "ok")
        let detail = try check("vectors in pgvector", of: mended)?["detail"]?.string
        #expect(detail?.hasSuffix("mended") == true, "\(mended.output)")
        let after = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(after.status == 0, "\(after.output)")
        #expect(try after.json["vectors"]?["mirror"]?["rows"] == 4)
    }

    /// The doctor said that all was well.
    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `after a restore the doctor says that the mirror is empty, until it is filled`() throws {
        let indexed = try IndexedSandbox(isAlone: true)
        defer { indexed.remove() }
        try indexed.add(Self.titles[0], Self.titles[1])
        let archive = indexed.sandbox.home + "/archive"
        #expect(try indexed.sandbox.preloop("db", "backup", archive).status == 0)
        #expect(try indexed.sandbox.preloop("db", "restore", archive, "--force").status == 0)
        let behind = try indexed.sandbox.preloop("doctor", "--json")
        #expect(behind.status == 0, "\(behind.output)")
        #expect(try check("pgvector", of: behind)?["status"] == "warning")
        let detail = try check("pgvector", of: behind)?["detail"]?.string ?? ""
        #expect(detail.contains("4 windows in the store, 0 mirrored, 4 changes waiting"))
        #expect(try indexed.sandbox.preloop("doctor", "--vectors", "--repair").status == 0)
        let filled = try check("pgvector", of: indexed.sandbox.preloop("doctor", "--json"))
        #expect(filled?["status"] == "ok" && filled?["advice"] == .null, "\(detail)")
        #expect(filled?["detail"]?.string?.contains("4 mirrored") == true)
    }

    /// An installation that searches by the database, with an index over four windows.
    private func withIndex() async throws -> (IndexedSandbox, Store) {
        let indexed = try IndexedSandbox(
            ["PRELOOP_VECTOR_BACKEND": "pgvector"],
            isAlone: true
        )
        try indexed.add(Self.titles[0], Self.titles[1])
        let store = try await indexed.sandbox.store()
        #expect(try await VectorMirror.makeIndex(store, dimension: 32, from: 0))
        return (indexed, store)
    }

    private func setIndex(_ column: SQL, _ value: Bool, in store: Store) async throws {
        _ = try await store.database.write { connection in
            try connection.execute(
                """
                UPDATE pg_index SET \(column) = \(value)
                WHERE indexrelid = to_regclass('passage_vectors_hnsw_32')
                """
            )
        }
    }

    /// Nobody looked at it.
    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `an index that lacks what it should find is found out, and made anew`() async throws {
        let (indexed, store) = try await withIndex()
        defer { indexed.remove() }
        let name = "index in pgvector"
        let whole = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(try check(name, of: whole)?["status"] == "ok", "\(whole.output)")
        let detail = try check(name, of: whole)?["detail"]?.string
        #expect(detail?.hasSuffix("finds 4 of 4 windows") == true, "\(detail ?? "")")
        #expect(try whole.json["vectors"]?["index"]?["found"] == 4)
        #expect(try whole.json["vectors"]?["accounts"]?[0]?["index"]?["state"] == "whole")
        // Rows that are written while it takes none are missing from it, as from a damaged one.
        try await setIndex("indisready", false, in: store)
        _ = try await store.database.write { connection in
            try connection.execute("DELETE FROM passage_vectors")
        }
        #expect(try await VectorMirror.compare(store, repairing: true).mended == 4)
        try await setIndex("indisready", true, in: store)
        let lacking = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(lacking.status == 1)
        #expect(try check("vectors in pgvector", of: lacking)?["status"] == "ok")
        #expect(try check(name, of: lacking)?["status"] == "broken", "\(lacking.output)")
        #expect(try check(name, of: lacking)?["advice"]?.string?.contains("--repair") == true)
        #expect(try lacking.json["vectors"]?["index"]?["found"] == 0)
        let mended = try indexed.sandbox.preloop("doctor", "--vectors", "--repair", "--json")
        #expect(mended.status == 0, "\(mended.output)")
        let told = try check(name, of: mended)?["detail"]?.string
        #expect(told?.contains("made anew, is whole and finds 4 of 4") == true, "\(told ?? "")")
        let after = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(try after.json["vectors"]?["index"]?["found"] == 4)
    }

    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `what is left of an index that nobody finished is told of, and goes`() async throws {
        let (indexed, store) = try await withIndex()
        defer { indexed.remove() }
        try await setIndex("indisvalid", false, in: store)
        let left = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        // Searches compare row by row and find everything.
        #expect(left.status == 0, "\(left.output)")
        #expect(try check("index in pgvector", of: left)?["status"] == "warning")
        let mended = try indexed.sandbox.preloop("doctor", "--vectors", "--repair", "--json")
        let detail = try check("index in pgvector", of: mended)?["detail"]?.string
        #expect(detail?.contains("removed") == true, "\(mended.output)")
        let after = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(try check("index in pgvector", of: after) == nil)
        #expect(try after.json["vectors"]?["index"] == .null)
    }

    /// `ok` beside a to-do left the reader to find out which of them counts.
    @Test func `what is in order has nothing to do`() throws {
        let indexed = try IndexedSandbox(isAlone: true)
        defer { indexed.remove() }
        #expect(try indexed.sandbox.preloop("init").status == 0)
        for _ in 0..<2 {
            let checks = try indexed.sandbox.preloop("doctor", "--json").json["checks"]?.array
            let orderly = (checks ?? []).filter { $0["status"] == "ok" }
            #expect(orderly.count > 3)
            #expect(orderly.allSatisfy { $0["advice"] == .null }, "\(orderly)")
            try indexed.add(Self.titles[0], Self.titles[1])
        }
    }

    @Test func `repairing without comparing is a usage error`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("doctor", "--repair").status == 2)
    }

    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `with pgvector a search needs no index in memory`() throws {
        let indexed = try IndexedSandbox(
            ["PRELOOP_VECTOR_BACKEND": "pgvector"],
            isAlone: true
        )
        defer { indexed.remove() }
        try indexed.add(Self.titles[0], Self.titles[1])
        let found = try indexed.sandbox.preloop("search", "login token", "--json")
        #expect(found.status == 0, "\(found.errors)")
        #expect(try found.json["hits"]?.array?.count == 2)
        #expect(!FileManager.default.fileExists(atPath: indexed.snapshot))
        let examined = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        #expect(try check("pgvector", of: examined)?["status"] == "ok")
        #expect(try check("vectors in the snapshot", of: examined) == nil)
        #expect(try examined.json["vectors"]?["mirror"]?["windows"] == 4)
        let memory = try indexed.sandbox.preloop(
            "search",
            "login token",
            "--json",
            environment: ["PRELOOP_VECTOR_BACKEND": "memory"]
        )
        #expect(try memory.json["hits"]?[0]?["key"] == found.json["hits"]?[0]?["key"])
    }
}
