import Embeddings
import Foundation
import TestSupport

/// A model directory that is removed when the last user goes.
final class ModelFixture {
    let directory: URL

    var path: String { directory.path }

    init(_ model: TinyModel = TinyModel()) throws {
        directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-model-\(UUID().uuidString)")
        try model.write(to: directory)
    }

    deinit {
        // What stays behind is in the temporary directory, which the system empties.
        try? FileManager.default.removeItem(at: directory)
    }

    func embedder(
        _ configuration: LocalEmbedder.Configuration = LocalEmbedder.Configuration()
    ) throws(EmbeddingError) -> LocalEmbedder {
        try LocalEmbedder(directory: path, configuration: configuration)
    }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: directory.appendingPathComponent(name))
    }

    func write(_ bytes: [UInt8], to name: String) throws {
        try Data(bytes).write(to: directory.appendingPathComponent(name))
    }

    func remove(_ name: String) throws {
        try FileManager.default.removeItem(at: directory.appendingPathComponent(name))
    }
}

/// Texts of many lengths, made of the fixture's words and some that it lacks.
func sampleTexts(_ count: Int, seed: UInt64) -> [String] {
    var random = SeededGenerator(seed: seed)
    let words = [
        "the", "crash", "window", "memory", "Fails", "opening", "index.html", "é", "search()", "x",
        "tokens", "你好", "slow-build", "User's", "unheard",
    ]
    return (0..<count).map { _ in
        (0..<Int.random(in: 0..<40, using: &random))
            .map { _ in words[Int.random(in: 0..<words.count, using: &random)] }
            .joined(separator: " ")
    }
}
