import Domain
import Foundation
import TestSupport
import Testing
import Trackers

/// Both adapters against the reference services, whole projects at a time.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct CorpusTests {
    @Test(arguments: [TrackerKind.github, .gitlab])
    func `reading every project of a corpus equals the truth`(kind: TrackerKind) async throws {
        let fake = try await FakeTrackers.start(corpora: [
            .items(try items("f2etw", as: kind, limit: 300)),
            .items(try items("bips", as: kind, limit: 300)), .shared("edge"),
        ])
        defer { fake.stop() }
        let client = try fake.client(kind)
        var count = 0
        for organization in try await client.organizations() {
            for project in try await client.projects(of: organization) {
                let reading = try await ProjectReading(client, project)
                let truth = try await fake.truth(tracker: kind.rawValue, project: project.path)
                let lines = reading.differences(from: truth, isGitHub: kind == .github)
                #expect(lines.isEmpty, "\(project.path): \(lines.joined(separator: "\n"))")
                #expect(project.externalID == truth.projectID)
                count += reading.issues.count
            }
        }
        #expect(count > 700)
    }

    /// The first items of a corpus, as if they belonged to another service.
    private func items(
        _ corpus: String,
        as kind: TrackerKind,
        limit: Int
    ) throws -> [JSONValue] {
        let file = try #require(SharedData.file("trackers/corpora/corpus-\(corpus).jsonl"))
        let lines = try Array(Data(contentsOf: file)).split(separator: UInt8(ascii: "\n"))
        return try lines.prefix(limit).map { line in
            guard case .object(var object) = try JSONParser.parse(Array(line)) else { return .null }
            object["tracker"] = .string(kind.rawValue)
            return .object(object)
        }
    }
}
