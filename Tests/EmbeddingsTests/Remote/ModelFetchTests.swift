import Foundation
import HTTPClient
import TestSupport
import Testing

@testable import Embeddings

@Suite struct ModelFetchTests {
    /// A directory that goes away with the test.
    private final class Scratch {
        let path: String

        init() throws {
            path = NSTemporaryDirectory() + "model-fetch-\(UUID().uuidString)"
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: true
            )
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func write(_ name: String, _ text: String) throws {
            let file = URL(fileURLWithPath: path + "/" + name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data(text.utf8).write(to: file)
        }

        func read(_ name: String) -> String? {
            FileManager.default.contents(atPath: path + "/" + name)
                .map { String(decoding: $0, as: UTF8.self) }
        }

        /// Paths of all files below, sorted.
        var files: [String] {
            (FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? [])
                .sorted()
        }
    }

    /// SHA-256 of `weights`.
    private static let digest = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    private static let files = [
        "config.json": "{}", "vocab.txt": "[PAD]", "model.safetensors": "weights",
        "1_Pooling/config.json": "{1}", "modules.json": "[]", "README.md": "not wanted",
    ]
    private let model = ModelFetch.Model(name: "tiny", digest: digest)

    private func source(without missing: String? = nil) throws -> Scratch {
        let scratch = try Scratch()
        for (name, text) in Self.files where name != missing { try scratch.write(name, text) }
        return scratch
    }

    private func fetch(
        _ home: Scratch,
        transport: (any HTTPTransport)? = nil
    ) -> ModelFetch {
        ModelFetch(home: home.path, transport: transport) { (_) throws(EmbeddingError) in }
    }

    @Test func `a directory is copied, wanted files only`() async throws {
        let (home, source) = (try Scratch(), try source())
        let outcome = try await fetch(home).fetch(model, from: .directory(path: source.path))
        #expect(outcome == .init(path: home.path + "/models/tiny", isNew: true))
        #expect(
            home.files == [
                "models", "models/tiny", "models/tiny/1_Pooling",
                "models/tiny/1_Pooling/config.json",
                "models/tiny/config.json", "models/tiny/model.safetensors",
                "models/tiny/modules.json",
                "models/tiny/vocab.txt",
            ]
        )
        #expect(home.read("models/tiny/1_Pooling/config.json") == "{1}")
    }

    @Test func `a model that is there and whole is left alone`() async throws {
        let (home, source) = (try Scratch(), try source())
        _ = try await fetch(home).fetch(model, from: .directory(path: source.path))
        let again = try await fetch(home).fetch(model, from: .directory(path: "/nowhere"))
        #expect(!again.isNew)
    }

    @Test func `a damaged model is replaced`() async throws {
        let (home, source) = (try Scratch(), try source())
        for (name, text) in Self.files { try home.write("models/tiny/" + name, text + "!") }
        let outcome = try await fetch(home).fetch(model, from: .directory(path: source.path))
        #expect(outcome.isNew)
        #expect(home.read("models/tiny/model.safetensors") == "weights")
        #expect(home.read("models/tiny/README.md") == nil)
        #expect(home.files.allSatisfy { !$0.contains(".fetch") })
    }

    @Test(arguments: ["config.json", "vocab.txt", "model.safetensors"])
    func `a missing file is named and an older model stays`(name: String) async throws {
        let (home, source) = (try Scratch(), try source(without: name))
        try home.write("models/tiny/model.safetensors", "older")
        await #expect(throws: EmbeddingError.missingFile(path: "\(source.path)/\(name)")) {
            try await fetch(home).fetch(model, from: .directory(path: source.path))
        }
        #expect(home.read("models/tiny/model.safetensors") == "older")
        #expect(home.files == ["models", "models/tiny", "models/tiny/model.safetensors"])
    }

    @Test func `other weights are refused`() async throws {
        let (home, source) = (try Scratch(), try source())
        try source.write("model.safetensors", "weightz")
        do {
            _ = try await fetch(home).fetch(model, from: .directory(path: source.path))
            Issue.record("accepted")
        } catch {
            guard case .checksumMismatch(_, Self.digest, _) = error else {
                Issue.record("another error: \(error)")
                return
            }
        }
        #expect(home.files == ["models"])
    }

    @Test func `what cannot be loaded is not installed`() async throws {
        let (home, source) = (try Scratch(), try source())
        let fetch = ModelFetch(home: home.path)
        await #expect(throws: EmbeddingError.self) {
            try await fetch.fetch(
                .init(name: "tiny", digest: nil),
                from: .directory(path: source.path)
            )
        }
        #expect(home.files == ["models"])
    }

    @Test(arguments: ["", ".", "..", "a/b", "../x", "a\0"])
    func `a name that leads elsewhere is refused`(name: String) async throws {
        let (home, source) = (try Scratch(), try source())
        await #expect(throws: EmbeddingError.self) {
            try await fetch(home).fetch(
                .init(name: name, digest: nil),
                from: .directory(path: source.path)
            )
        }
        #expect(home.files.isEmpty)
    }

    @Test func `files come from a web server, over to its storage`() async throws {
        let home = try Scratch()
        let storage = try ScriptedHTTPServer { request in
            [.answer(text: Self.files[String(request.target.dropFirst())] ?? "?")]
        }
        let server = try ScriptedHTTPServer { request in
            let name = String(request.target.dropFirst("/m/".count))
            guard Self.files[name] != nil else { return [.answer(404)] }
            return [.answer(302, headers: [("Location", "\(storage.origin)/\(name)")])]
        }
        let client = try CurlClient(configuration: .init(version: "1"))
        let outcome = try await fetch(home, transport: client)
            .fetch(model, from: .web(baseURL: "\(server.origin)/m/"))
        #expect(outcome.isNew)
        #expect(home.read("models/tiny/model.safetensors") == "weights")
        #expect(home.read("models/tiny/tokenizer_config.json") == nil)
    }

    @Test func `a web server without the model changes nothing`() async throws {
        let home = try Scratch()
        let server = try ScriptedHTTPServer { _ in [.answer(404, text: "no")] }
        let client = try CurlClient(configuration: .init(version: "1"))
        let expected = EmbeddingError.missingFile(path: "\(server.origin)/config.json")
        await #expect(throws: expected) {
            try await fetch(home, transport: client).fetch(
                model,
                from: .web(baseURL: server.origin)
            )
        }
        #expect(home.files == ["models"])
    }
}
