import Domain
import Foundation
import Testing

/// What `doctor` and `index verify` say of index files, which other commands quietly replace.
struct IndexFileTests {
    private func check(_ name: String, in indexed: IndexedSandbox) throws -> JSONValue? {
        let result = try indexed.sandbox.preloop("doctor", "--json")
        return try result.json["checks"]?.array?.first { $0["check"] == .string(name) }
    }

    private func damage(_ path: String, at offset: Int) throws {
        let file = URL(fileURLWithPath: path)
        var bytes = try Data(contentsOf: file)
        let range = offset..<min(offset + 64, bytes.count)
        bytes.replaceSubrange(range, with: Data(repeating: 0xA5, count: range.count))
        try bytes.write(to: file)
    }

    private func made() throws -> IndexedSandbox {
        let indexed = try IndexedSandbox()
        try indexed.add("crash when a file is opened", "login token is refused")
        #expect(try indexed.sandbox.preloop("index", "rebuild").status == 0)
        try Self.change(indexed.wordsIndex, "PRAGMA wal_checkpoint(TRUNCATE)")
        return indexed
    }

    /// Executes a statement, and brings the file's log into it.
    private static func change(_ path: String, _ statement: String) throws {
        let script = """
            import sqlite3, sys
            database = sqlite3.connect(sys.argv[1])
            database.execute(sys.argv[2])
            database.commit()
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.close()
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", script, path, statement]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }

    @Test func `whole files are in order`() throws {
        let indexed = try made()
        defer { indexed.remove() }
        #expect(try check("snapshot", in: indexed)?["status"] == "ok")
        let words = try check("words index", in: indexed)
        #expect(words?["status"] == "ok")
        #expect(words?["detail"]?.string?.hasPrefix("2 documents") == true)
        let verified = try indexed.sandbox.preloop("index", "verify", "--json")
        #expect(verified.status == 0, "\(verified.errors)")
        #expect(try verified.json["files"]?[0]?["status"] == "ok")
    }

    @Test func `missing files are no fault`() throws {
        let indexed = try made()
        defer { indexed.remove() }
        for path in [indexed.snapshot, indexed.wordsIndex] {
            try FileManager.default.removeItem(atPath: path)
        }
        let words = try check("words index", in: indexed)
        #expect(words?["status"] == "ok")
        #expect(!FileManager.default.fileExists(atPath: indexed.wordsIndex), "only looked at")
        let verified = try indexed.sandbox.preloop("index", "verify")
        #expect(verified.status == 0, "\(verified.errors)")
        #expect(verified.output.contains("snapshot: none yet; it will be built"))
    }

    @Test func `a damaged snapshot is told with its cause`() throws {
        let indexed = try made()
        defer { indexed.remove() }
        try damage(indexed.snapshot, at: 4096)
        #expect(try check("snapshot", in: indexed)?["status"] == "warning")
        let verified = try indexed.sandbox.preloop("index", "verify")
        #expect(verified.status == 1)
        #expect(verified.errors.contains("checksum") || verified.errors.contains("damaged"))
        #expect(verified.errors.contains("preloop index rebuild"))
        #expect(try indexed.sandbox.preloop("index", "rebuild").status == 0)
        #expect(try indexed.sandbox.preloop("index", "verify").status == 0)
    }

    @Test func `files of another store are told`() throws {
        let (indexed, other) = (try made(), try made())
        defer {
            indexed.remove()
            other.remove()
        }
        for (path, source) in [
            (indexed.snapshot, other.snapshot), (indexed.wordsIndex, other.wordsIndex),
        ] {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: source))
            try bytes.write(to: URL(fileURLWithPath: path))
        }
        for name in ["snapshot", "words index"] {
            let finding = try check(name, in: indexed)
            #expect(finding?["status"] == "warning", "\(name)")
            #expect(finding?["detail"]?.string?.contains("another store") == true, "\(name)")
        }
        // In words, not by the names in the file.
        let compared = try indexed.sandbox.preloop("doctor", "--vectors", "--json")
        let finding = try compared.json["checks"]?.array?.first {
            $0["check"] == "vectors in the snapshot"
        }
        #expect(
            finding?["detail"] == "it cannot be used: it belongs to another store or account"
        )
        let verified = try indexed.sandbox.preloop("index", "verify")
        #expect(verified.status == 1)
        #expect(verified.errors.contains("another store"))
    }

    @Test func `a words index that is being written is not called damaged`() throws {
        let indexed = try made()
        defer { indexed.remove() }
        let script = """
            import sqlite3, sys
            database = sqlite3.connect(sys.argv[1], isolation_level=None)
            database.execute("BEGIN IMMEDIATE")
            print("held", flush=True)
            sys.stdin.read()
            """
        let writer = Process()
        let (input, output) = (Pipe(), Pipe())
        writer.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        writer.arguments = ["python3", "-c", script, indexed.wordsIndex]
        writer.standardInput = input
        writer.standardOutput = output
        try writer.run()
        #expect(!output.fileHandleForReading.availableData.isEmpty)
        let words = try check("words index", in: indexed)
        #expect(words?["status"] == "warning")
        #expect(words?["detail"]?.string?.contains("another process writes it") == true)
        try input.fileHandleForWriting.close()
        writer.waitUntilExit()
        #expect(try check("words index", in: indexed)?["status"] == "ok")
    }

    @Test(arguments: ["rubbish", "pages", "lists"])
    func `a damaged words index is told and not replaced`(kind: String) async throws {
        let indexed = try made()
        defer { indexed.remove() }
        let file = URL(fileURLWithPath: indexed.wordsIndex)
        switch kind {
        case "rubbish": try Data(repeating: 0x41, count: 9000).write(to: file)
        case "pages": try damage(indexed.wordsIndex, at: 8192)
        // The file is whole; a document was taken away behind the lists' back.
        default:
            try Self.change(
                indexed.wordsIndex,
                """
                DELETE FROM documents_content
                WHERE id = (SELECT min(id) FROM documents_content)
                """
            )
        }
        let before = try Data(contentsOf: file)
        let words = try check("words index", in: indexed)
        #expect(words?["status"] == "warning", "\(String(describing: words))")
        #expect(words?["advice"]?.string?.contains("preloop index rebuild") == true)
        #expect(try Data(contentsOf: file) == before)
        let verified = try indexed.sandbox.preloop("index", "verify")
        #expect(verified.status == 1)
        #expect(verified.errors.contains("lexical.sqlite"))
        #expect(try indexed.sandbox.preloop("index", "rebuild").status == 0)
        #expect(try check("words index", in: indexed)?["status"] == "ok")
    }
}
