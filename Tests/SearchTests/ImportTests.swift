import Domain
import Foundation
import Store
import Testing

@testable import Search

@Suite struct ImportTests {
    private func write(_ world: World, _ text: String) throws -> String {
        let path = world.directory + "/corpus.jsonl"
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    @Test func `a corpus becomes projects and issues and a second import changes nothing`()
        async throws
    {
        let world = try await World()
        let path = try write(
            world,
            """
            {"id": "a:1", "source": "a", "title": "printer on fire", "body": "smoke\\u0000"}

            {"id": "b:7", "source": "b", "title": "printer burns"}
            """
        )
        let first = try await IssueImport(store: world.store).run(path: path)
        #expect(first == IssueImport.Report(lines: 2, created: 2, changed: 0, unchanged: 0))
        let second = try await IssueImport(store: world.store).run(path: path)
        #expect(second == IssueImport.Report(lines: 2, created: 0, changed: 0, unchanged: 2))
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        let issue = try await pipeline.search.resolve("b:7")
        #expect(issue.projectPath == "b")
        #expect(issue.tracker == IssueImport.trackerName)
        let hits = try await pipeline.search.similar(to: issue.issue, limit: 5)
        #expect(hits.map(\.issue.externalID) == ["a:1"])
    }

    @Test(arguments: [
        ("{\"id\": 1, \"source\": \"a\", \"title\": \"t\"}", 1), ("{}", 1), ("[]", 1),
        ("{\"id\": \"1\", \"source\": \"a\", \"title\": \"t\"}\nnonsense", 2),
        ("{\"id\": \"1\", \"source\": \"\", \"title\": \"t\"}", 1),
    ])
    func `a line that cannot be used is named by its number`(text: String, line: Int) async throws {
        let world = try await World()
        let path = try write(world, text)
        do {
            _ = try await IssueImport(store: world.store).run(path: path)
            Testing.Issue.record("the import took `\(text)`")
        } catch SearchError.invalidImport(let found, _) {
            #expect(found == line)
        }
    }

    @Test func `lines of any length are read whole`() throws {
        let path = NSTemporaryDirectory() + "preloop-lines-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let long = String(repeating: "x", count: 3 << 20)
        try Data("a\n\n\(long)\nlast".utf8).write(to: URL(fileURLWithPath: path))
        var reader = try LineReader(path: path)
        var counts: [Int] = []
        while let line = try reader.next() { counts.append(line.count) }
        #expect(counts == [1, 0, 3 << 20, 4])
        #expect(reader.line == 4)
    }
}
