import Domain
import Foundation
import Store
import Testing

struct SearchCommandTests {
    @Test func `words are searched without the model`() throws {
        let indexed = try IndexedSandbox()
        try indexed.add("crash when a file is opened", "login token is refused")
        indexed.remove()
        let found = try indexed.sandbox.preloop("search", "token", "--mode", "text", "--json")
        #expect(found.status == 0, "\(found.errors)")
        let hits = try found.json["hits"]
        #expect(hits?.array?.count == 1)
        #expect(hits?[0]?["issue"]?["title"] == "login token is refused")
        #expect(hits?[0]?["passage"]?["text"]?.string?.contains("token") == true)
        let meaning = try indexed.sandbox.preloop("search", "token")
        #expect(meaning.status == 1)
        #expect(meaning.errors.contains("`\(indexed.model.path)`"))
        #expect(meaning.errors.contains("PRELOOP_EMBEDDING_MODEL"))
        #expect(!meaning.errors.contains("preloop models fetch"))
    }

    @Test func `words are searched where nothing was ever embedded`() async throws {
        let sandbox = try Sandbox([
            "PRELOOP_EMBEDDING_PROVIDER": "openai",
            "PRELOOP_EMBEDDING_URL": "http://127.0.0.1:1/v1", "PRELOOP_EMBEDDING_DIMENSION": "3",
        ])
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/corpus.jsonl"
        let line = #"{"id":"a-1","source":"a","title":"the index is slow","body":"b"}"#
        try Data(line.utf8).write(to: URL(fileURLWithPath: file))
        // The provider does not answer: the import is stored and not embedded.
        #expect(try sandbox.preloop("index", "import", "--jsonl", file).status == 1)
        let store = try await sandbox.store()
        _ = try await store.write { connection, account in
            try connection.execute("DELETE FROM embedding_models WHERE account_id = \(account)")
        }
        let found = try sandbox.preloop("search", "slow index", "--mode", "text", "--json")
        #expect(found.status == 0, "\(found.errors)")
        #expect(try found.json["hits"]?[0]?["issue"]?["title"] == "the index is slow")
    }

    @Test func `a recall can be asked for, within its range and of vectors`() throws {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        try indexed.add("crash when a file is opened", "login token is refused")
        func status(_ recall: String, mode: String) throws -> Int32 {
            try indexed.sandbox.preloop("search", "token", "--mode", mode, "--recall", recall)
                .status
        }
        #expect(try status("0.9", mode: "hybrid") == 0)
        #expect(try status("1", mode: "vector") == 0)
        #expect(try status("0.9", mode: "text") == 2)
        for wrong in ["1.5", "0.1", "nan"] { #expect(try status(wrong, mode: "hybrid") == 2) }
    }

    @Test func `an assignee, a type and an organisation restrict the answer`() async throws {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        try indexed.add("crash in the parser", "crash in the lexer", "crash in the linker")
        let store = try await indexed.sandbox.store()
        _ = try await store.write { connection, account in
            try connection.execute(
                """
                UPDATE issues SET assignees = '["ann"]', type = 'Bug' WHERE account_id = \(account)
                    AND title = 'crash in the lexer'
                """
            )
        }
        func titles(_ option: String, _ value: String) throws -> [String] {
            let result = try indexed.sandbox.preloop("search", "crash", option, value, "--json")
            return try result.json["hits"]?.array?.compactMap { $0["issue"]?["title"]?.string }
                ?? []
        }
        #expect(try titles("--assignee", "ann") == ["crash in the lexer"])
        #expect(try titles("--assignee", "bob") == [])
        #expect(try titles("--type", "bug") == ["crash in the lexer"])
        #expect(try titles("--organization", "IMPORT").count == 3)
        let unknown = try indexed.sandbox.preloop("search", "crash", "--organization", "nobody")
        #expect(unknown.status == 5)
        #expect(unknown.errors.contains("nobody"))
    }
}
