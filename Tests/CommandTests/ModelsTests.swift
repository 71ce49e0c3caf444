import Crypto
import Domain
import Foundation
import TestSupport
import Testing

struct ModelsTests {
    private func encode(_ lines: [String]) throws -> Sandbox.Result {
        let indexed = try IndexedSandbox()
        defer { indexed.remove() }
        let input = lines.joined(separator: "\n") + "\n"
        return try indexed.sandbox.preloop("models", "encode", "--jsonl", input: input)
    }

    @Test(arguments: [0, 1, 3, 130])
    func `the lines before a bad one are encoded and written`(count: Int) throws {
        let good = (0..<count).map { #"{"text":"error \#($0)"}"# }
        let result = try encode(good + [#"{"title":"no text"}"#, #"{"text":"after it"}"#])
        #expect(result.status == 2)
        #expect(result.errors.contains("line \(count + 1) is not an object"))
        let lines = result.output.split(separator: "\n")
        #expect(lines.count == count)
        for line in lines {
            let value = try JSONParser.parse(String(line))
            #expect(value["vector"]?.array?.count == 32)
        }
    }

    /// Other weights than the authors' under the default model's name.
    private static func weights() throws -> (folder: URL, digest: String) {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-weights-\(UUID().uuidString)")
        try TinyModel().write(to: folder)
        let bytes = try Data(contentsOf: folder.appendingPathComponent("model.safetensors"))
        let digest = SHA256.hash(data: bytes).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
        return (folder, digest.joined())
    }

    private func modelCheck(_ sandbox: Sandbox) throws -> JSONValue? {
        try sandbox.preloop("doctor", "--json").json["checks"]?.array?
            .first { $0["check"] == "model" }
    }

    @Test func `weights with a digest of the operator's are in order while they have it`() throws {
        let sandbox = try Sandbox()
        let (folder, digest) = try Self.weights()
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(try sandbox.preloop("init").status == 0)
        let refused = try sandbox.preloop("models", "fetch", "--from", folder.path)
        #expect(refused.status == 1)
        let fetched = try sandbox.preloop(
            "models",
            "fetch",
            "--from",
            folder.path,
            "--sha256",
            digest.uppercased()
        )
        #expect(fetched.status == 0, "\(fetched.errors)")
        #expect(try modelCheck(sandbox)?["status"] == "ok")
        let file = sandbox.home + "/models/all-MiniLM-L6-v2/model.safetensors"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
        bytes[bytes.count - 1] ^= 1
        try bytes.write(to: URL(fileURLWithPath: file))
        let damaged = try modelCheck(sandbox)
        #expect(damaged?["status"] == "broken")
        #expect(damaged?["detail"]?.string?.contains(digest) == true)
    }
}
