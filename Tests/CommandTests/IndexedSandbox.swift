import Domain
import Foundation
import Store
import TestSupport

/// A sandbox with a tiny model, into which issues are imported, embedded and indexed.
struct IndexedSandbox {
    let sandbox: Sandbox
    /// The model's directory.
    let model: URL

    init(_ environment: [String: String] = [:]) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-model-\(UUID().uuidString)")
        sandbox = try Sandbox(
            environment.merging(["PRELOOP_EMBEDDING_MODEL": folder.path]) { $1 }
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

    struct Failure: Error {
        var errors = ""
    }
}
