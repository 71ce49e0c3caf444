import Domain
import Foundation
import Store
import TestSupport

/// A sandbox with a tiny model, into which issues are imported, embedded and indexed.
struct IndexedSandbox {
    let sandbox: Sandbox
    /// The model's directory.
    let model: URL

    /// `isAlone` as of `Engine.database`.
    init(_ environment: [String: String] = [:], isAlone: Bool = false) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-model-\(UUID().uuidString)")
        sandbox = try Sandbox(
            environment.merging(["PRELOOP_EMBEDDING_MODEL": folder.path]) { $1 },
            isAlone: isAlone
        )
        model = folder
        try TinyModel().write(to: folder)
    }

    /// Takes away the model.
    func remove() {
        // A directory left behind in the temporary directory harms nobody.
        try? FileManager.default.removeItem(at: model)
    }

    /// The files of the indexes.
    var snapshot: String { sandbox.home + "/index/1/vectors.snapshot" }
    var wordsIndex: String { sandbox.home + "/index/1/lexical.sqlite" }

    /// Imports issues of one project, by title.
    func add(_ titles: String...) throws {
        let lines = titles.enumerated().map { number, title in
            let issue: JSONValue = [
                "id": .string("x-\(number)"), "source": "x", "title": .string(title),
                "body": "what happened",
            ]
            return issue.serializedText()
        }
        let file = sandbox.home + "/corpus.jsonl"
        guard try sandbox.preloop("init").status == 0 else { throw Failure() }
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: file))
        let imported = try sandbox.preloop("index", "import", "--jsonl", file)
        guard imported.status == 0 else { throw Failure(errors: imported.errors) }
    }

    /// One with four imported issues, two of them like each other.
    static func withIssues() throws -> IndexedSandbox {
        let indexed = try IndexedSandbox()
        try indexed.add(
            "crash when a file is opened",
            "crash when a file is closed",
            "login token is refused",
            "the index is slow"
        )
        return indexed
    }

    /// Gives the first issue a text of more than any answer has.
    func lengthen() async throws {
        let line = "line with \"quotes\" and \\ and é" + String(repeating: " and more", count: 20)
        let body = String(repeating: line + "\n", count: 4_000)
        _ = try await sandbox.store().write { connection, account in
            try connection.execute(
                """
                UPDATE issues SET body = \(body)
                WHERE account_id = \(account) AND external_id = 'x-0'
                """
            )
        }
    }

    /// Puts a policy in force whose workflow `quick` gives callers a handle at once.
    func addQuickWorkflow() throws {
        let policy = """
            metadata: {name: quick}
            approval_workflows: [{name: quick, async_approval: true}]

            """
        let applied = try sandbox.preloop("policy", "apply", "-", input: policy)
        guard applied.status == 0 else { throw Failure(errors: applied.errors) }
    }

    /// One whose trackers are those of a service, each named after its kind.
    static func connected(
        to fake: FakeTrackers,
        _ kinds: [String],
        isAlone: Bool = false
    ) throws -> IndexedSandbox {
        try connected(at: fake.origin, kinds, isAlone: isAlone)
    }

    /// One whose trackers are those of a service by way of another address.
    static func connected(
        at origin: String,
        _ kinds: [String],
        isAlone: Bool = false
    ) throws -> IndexedSandbox {
        let indexed = try IndexedSandbox(isAlone: isAlone)
        for kind in kinds {
            let added = try indexed.sandbox.preloop(
                "trackers",
                "add",
                kind,
                "--name",
                kind,
                "--url",
                "\(origin)/\(kind)",
                "--token-env",
                "TOKEN",
                environment: ["TOKEN": "test-token"]
            )
            guard added.status == 0 else { throw Failure(errors: added.errors) }
        }
        return indexed
    }

    /// All issues as they are stored.
    func export() throws -> String {
        try sandbox.preloop("export", "issues", "--jsonl").output
    }

    struct Failure: Error {
        var errors = ""
    }
}
