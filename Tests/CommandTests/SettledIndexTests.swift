import Bootstrap
import Foundation
import Testing

/// A scan with nothing to do needs neither model nor indexes, and is sure of it.
struct SettledIndexTests {
    /// An installation with a tiny model in which everything is indexed and closed.
    private struct Settled {
        let indexed: IndexedSandbox
        let installation: Installation

        init() async throws {
            indexed = try IndexedSandbox()
            try indexed.add("crash when a file is opened", "login token is refused")
            let settings = try Settings(environment: indexed.sandbox.environment)
            installation = try await Installation.open(settings)
            try await indexes().close(isComplete: true)
        }

        func indexes() async throws -> ScanIndexes { try await ScanIndexes(installation) }

        func holds() async throws -> Bool { try await SettledIndex.holds(in: installation) }
    }

    @Test func `what is indexed and untouched is settled`() async throws {
        let settled = try await Settled()
        defer { settled.indexed.remove() }
        #expect(try await settled.holds())
        // The program is part of what is settled: its first scan looks, the next changes nothing.
        #expect(try settled.indexed.sandbox.run("preloop-sync", "scan", "all").status == 0)
        #expect(try await !settled.holds(), "another program")
        let mark = URL(fileURLWithPath: settled.installation.indexDirectory + "/settled")
        let text = try Data(contentsOf: mark)
        #expect(try settled.indexed.sandbox.run("preloop-sync", "scan", "all").status == 0)
        #expect(try Data(contentsOf: mark) == text)
    }

    @Test func `a change in the store is waiting to be indexed`() async throws {
        let settled = try await Settled()
        defer { settled.indexed.remove() }
        try settled.indexed.add("crash when a file is opened", "another title")
        // The import indexes and says nothing of it to scans: the next one looks.
        #expect(try await !settled.holds())
        try await settled.indexes().close(isComplete: true)
        #expect(try await settled.holds())
    }

    @Test func `files that changed are looked at`() async throws {
        let settled = try await Settled()
        defer { settled.indexed.remove() }
        let model = settled.indexed.model
        let vocabulary = model.appendingPathComponent("vocab.txt")
        try Data(contentsOf: vocabulary).write(to: vocabulary)
        #expect(try await !settled.holds(), "the same bytes, written anew")
        try await settled.indexes().close(isComplete: true)
        #expect(try await settled.holds())
        try Data().write(to: model.appendingPathComponent("note.txt"))
        #expect(try await !settled.holds(), "a file more")
        try await settled.indexes().close(isComplete: true)
        try FileManager.default.removeItem(atPath: settled.indexed.wordsIndex)
        #expect(try await !settled.holds(), "no words index")
        try await settled.indexes().close(isComplete: true)
        #expect(FileManager.default.fileExists(atPath: settled.indexed.wordsIndex))
        #expect(try await settled.holds())
    }

    @Test func `a scan that was stopped settles nothing`() async throws {
        let settled = try await Settled()
        defer { settled.indexed.remove() }
        try settled.indexed.add("crash when a file is opened", "one more title")
        try await settled.indexes().close(isComplete: false)
        #expect(try await !settled.holds())
    }

    @Test func `a missing model is told although nothing has changed`() async throws {
        let settled = try await Settled()
        settled.indexed.remove()
        let scan = try settled.indexed.sandbox.run("preloop-sync", "scan", "all")
        #expect(scan.status == 1)
        #expect(scan.errors.contains("cannot load the model"))
    }
}
