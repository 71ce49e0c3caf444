import Domain
import Embeddings
import Foundation
import MCP
import Search
import Store
import StoreTestSupport
import Testing

@testable import Gateway

/// A store with issues of two projects, indexed, and the tools over it.
final class IssueWorld: ToolWorld {
    let directory: String
    let store: Store
    let calls: GuardedCall

    init(model: LanguageModel? = nil) async throws {
        directory =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-gateway-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: directory,
            withIntermediateDirectories: true
        )
        let store = try await Store.open(try SQLiteDatabase(path: directory + "/preloop.db"))
        self.store = store
        try await Self.fill(store)
        let index = directory + "/index"
        let embedder = WordEmbedder()
        let pipeline = try await IndexPipeline(store: store, embedder: embedder, directory: index)
        _ = try await pipeline.drain()
        let search = pipeline.search
        var tools = BuiltInTools(store: store, scanLease: "scan") { _ in search }
        tools.model = model
        calls = GuardedCall(
            tools: tools.make(),
            policy: OpenPolicy(),
            journal: StoreJournal(store: store, keys: try AuditKeys.testing(store.account))
        )
    }

    deinit {
        // A directory left behind in the temporary directory harms nobody.
        try? FileManager.default.removeItem(atPath: directory)
    }

    static let crash = "The editor crashes when a file is opened from the recent list"
    static let crashBody = """
        ## Steps to reproduce

        1. Open the recent list
        2. Choose a file

        Expected: it opens. Actual: crash with error 11 in version 2.3.
        """

    private static func fill(_ store: Store) async throws {
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        try await store.addTracker(
            at: "https://hub",
            projects: ["acme/app", "acme/site"].map { path in
                (path: path, issues: issues(of: path, now))
            }
        )
    }

    private static func issues(of path: String, _ now: Timestamp) -> [IncomingIssue] {
        let texts =
            path == "acme/app"
            ? [
                (crash, crashBody), (crash + " again", crashBody),
                ("Dark theme for the settings page", "As a user I want less light"),
                ("Translate the manual", ""),
            ]
            : [("Broken link in the footer", "TBD"), ("The search page is slow", "It takes long")]
        return texts.enumerated().map { index, text in
            let number = index + 1
            var issue = Domain.Issue(
                externalID: "\(path)#\(number)",
                number: number,
                key: "\(path)#\(number)",
                title: text.0,
                body: text.1,
                createdAt: now.advanced(by: .seconds(number)),
                updatedAt: now.advanced(by: .seconds(number)),
                url: "https://hub/\(path)/issues/\(number)"
            )
            if number == 1 {
                issue.labels = ["bug"]
                issue.assignees = ["ann"]
            }
            if number == 3 { issue.state = .closed }
            let comments = (0..<3).map { place in
                Comment(
                    externalID: "c\(number)-\(place)",
                    author: "bob",
                    body: "comment \(place) about zebras",
                    createdAt: now.advanced(by: .seconds(place)),
                    updatedAt: now.advanced(by: .seconds(place))
                )
            }
            return IncomingIssue(issue, comments: .complete(comments))
        }
    }
}

/// A bag of words: each word is a fixed direction, a text their sum.
struct WordEmbedder: Embedder {
    let model = ModelIdentity(name: "words", revision: "1", dimension: 48)

    func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix {
        EmbeddingMatrix(dimension: model.dimension, values: texts.flatMap(vector))
    }

    func windows(of text: String, maximumCount: Int) -> [Range<Int>] {
        text.utf8.isEmpty ? [] : [0..<text.utf8.count]
    }

    private func vector(_ text: String) -> [Float] {
        var sum = [Double](repeating: 0, count: model.dimension)
        for word in text.lowercased().split(whereSeparator: \.isWhitespace) {
            var state = word.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
            for place in sum.indices {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                sum[place] += Double(Int64(bitPattern: state) >> 11)
            }
        }
        let norm = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return sum.map { norm == 0 ? 0 : Float($0 / norm) }
    }
}
