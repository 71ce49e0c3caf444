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
        let indexed = try IndexedSandbox()
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
        let indexed = try IndexedSandbox(["PRELOOP_VECTOR_BACKEND": "pgvector"])
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

    @Test func `repairing without comparing is a usage error`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("doctor", "--repair").status == 2)
    }

    @Test(.enabled(if: Engine.current == .postgres, "PRELOOP_TEST_ENGINE=postgres"))
    func `with pgvector a search needs no index in memory`() throws {
        let indexed = try IndexedSandbox(["PRELOOP_VECTOR_BACKEND": "pgvector"])
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
