import Domain
import HTTPClient
import Synchronization
import TestSupport
import Testing

@testable import Embeddings

@Suite struct RemoteEmbedderTests {
    private let client: CurlClient

    init() throws {
        client = try CurlClient(configuration: .init(version: "1"))
    }

    /// A vector that tells its text: byte count and first byte, not normalised.
    private static func vector(_ text: String) -> [Float] {
        [Float(text.utf8.count), Float(text.utf8.first ?? 0), 0]
    }

    private static func unit(_ vector: [Float]) -> [Float] {
        let norm = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        return norm > 0 ? vector.map { Float(Double($0) / norm) } : vector
    }

    private static func texts(_ request: ScriptedHTTPServer.Request) -> [String] {
        let document = try? JSONParser.parse(request.body)
        return (document?["input"]?.array ?? []).compactMap(\.string)
    }

    /// A well-behaved provider that answers in reverse order.
    private static func reply(_ request: ScriptedHTTPServer.Request) -> ScriptedHTTPServer.Step {
        let items = texts(request).enumerated().reversed().map { index, text -> JSONValue in
            let numbers = vector(text).map { JSONValue.double(Double($0)) }
            return ["index": .integer(Int64(index)), "embedding": .array(numbers)]
        }
        let body: JSONValue = ["object": "list", "data": .array(Array(items))]
        return .answer(body: body.serialized())
    }

    private func configuration(_ server: ScriptedHTTPServer) -> RemoteEmbedder.Configuration {
        var configuration = RemoteEmbedder.Configuration(
            baseURL: "\(server.origin)/v1/",
            model: "m"
        )
        configuration.dimension = 3
        configuration.retryPolicy.firstPause = .zero
        return configuration
    }

    @Test func `rows come back in the texts' order as unit vectors`() async throws {
        let server = try ScriptedHTTPServer { [Self.reply($0)] }
        var configuration = configuration(server)
        configuration.maximumBatchCount = 3
        configuration.apiKey = APIKey("s3cret")
        let embedder = try await RemoteEmbedder.connect(configuration, transport: client)
        let texts = (1...20).map { String(repeating: "x", count: $0) } + ["", " \n", "last"]
        let matrix = try await embedder.encode(texts)
        #expect(matrix.count == texts.count)
        for (index, text) in texts.enumerated() {
            let isEmpty = text.utf8.allSatisfy { $0 <= 0x20 }
            #expect(matrix[index] == (isEmpty ? [0, 0, 0] : Self.unit(Self.vector(text))))
        }
        #expect(server.requests.count == 7)
        let request = try #require(server.requests.first)
        #expect(request.target == "/v1/embeddings")
        #expect(request.headers["authorization"] == "Bearer s3cret")
        #expect(request.headers["content-type"] == "application/json")
        #expect(try JSONParser.parse(request.body)["model"] == "m")
        #expect(try JSONParser.parse(request.body)["dimensions"] == nil)
    }

    @Test func `an unknown dimension is asked for once`() async throws {
        let server = try ScriptedHTTPServer { [Self.reply($0)] }
        var configuration = configuration(server)
        configuration.dimension = nil
        let embedder = try await RemoteEmbedder.connect(configuration, transport: client)
        #expect(embedder.model.dimension == 3)
        #expect(server.requests.count == 1)
    }

    @Test func `a vector longer than an index takes is refused`() async throws {
        let numbers = [JSONValue](repeating: 1, count: 65_537)
        let body: JSONValue = ["data": [["index": 0, "embedding": .array(numbers)]]]
        let server = try ScriptedHTTPServer { _ in [.answer(body: body.serialized())] }
        var configuration = configuration(server)
        configuration.dimension = nil
        let reason = "the dimension must be from 1 to 65536"
        let refusal = EmbeddingError.provider(status: nil, reason: reason, isRetryable: false)
        do {
            _ = try await RemoteEmbedder.connect(configuration, transport: client)
            Issue.record("it was taken")
        } catch {
            #expect(error == refusal)
        }
    }

    @Test func `a wanted dimension is sent`() async throws {
        let server = try ScriptedHTTPServer { [Self.reply($0)] }
        var configuration = configuration(server)
        configuration.requestsDimension = true
        let embedder = try await RemoteEmbedder.connect(configuration, transport: client)
        _ = try await embedder.encode(["a"])
        let body = try #require(server.requests.first?.body)
        #expect(try JSONParser.parse(body)["dimensions"] == 3)
    }

    @Test func `vectors in Base64 are read`() async throws {
        // [3, 4, 0] as little-endian floats.
        let server = try ScriptedHTTPServer { _ in
            [.answer(text: #"{"data":[{"index":0,"embedding":"AABAQAAAgEAAAAAA"}]}"#)]
        }
        let embedder = try await RemoteEmbedder.connect(configuration(server), transport: client)
        #expect(try await embedder.encode(["a"])[0] == [0.6, 0.8, 0])
    }

    @Test func `limits of the provider are waited for`() async throws {
        let server = try ScriptedHTTPServer { request in
            switch request.index {
            case 0: [.answer(429, headers: [("Retry-After", "0")], text: "slow")]
            case 1: [.answer(503)]
            case 2: [.reset]
            default: [Self.reply(request)]
            }
        }
        let embedder = try await RemoteEmbedder.connect(configuration(server), transport: client)
        #expect(try await embedder.encode(["a"]).count == 1)
        #expect(server.requests.count == 4)
    }

    @Test func `a request that is too large is halved`() async throws {
        let server = try ScriptedHTTPServer { request in
            Self.texts(request).count > 2 ? [.answer(413)] : [Self.reply(request)]
        }
        let embedder = try await RemoteEmbedder.connect(configuration(server), transport: client)
        let texts = ["a", "bb", "ccc", "dddd", "eeeee"]
        let matrix = try await embedder.encode(texts)
        #expect(texts.indices.map { matrix[$0] } == texts.map { Self.unit(Self.vector($0)) })
    }

    @Test(arguments: [
        (401, #"{"error":{"message":"bad key s3cret"}}"#, "it refuses the key", false),
        (404, #"{"error":"model not found"}"#, "model not found", false),
        (400, "plain\u{1b}[31m", "plain [31m", false),
        (500, "", "no explanation", true),
        (429, #"{"error":{"code":"insufficient_quota","message":"pay"}}"#, "pay", false),
    ])
    func `a refusal says why and whether waiting helps`(
        status: Int,
        body: String,
        reason: String,
        isRetryable: Bool
    ) async throws {
        let server = try ScriptedHTTPServer { _ in [.answer(status, text: body)] }
        var configuration = configuration(server)
        configuration.apiKey = APIKey("s3cret")
        let embedder = try await RemoteEmbedder.connect(configuration, transport: client)
        let expected = EmbeddingError.provider(
            status: status,
            reason: reason,
            isRetryable: isRetryable
        )
        await #expect(throws: expected) { try await embedder.encode(["a"]) }
        #expect(server.requests.count == (isRetryable ? 5 : 1))
    }

    @Test(arguments: [
        #"{"data":[]}"#, #"{}"#, #"[]"#, "<html>", "",
        #"{"data":[{"index":1,"embedding":[1,0,0]}]}"#,
        #"{"data":[{"index":0,"embedding":[1,0]}]}"#,
        #"{"data":[{"index":0,"embedding":[1,0,"x"]}]}"#,
        #"{"data":[{"index":0,"embedding":"AA=="}]}"#,
        #"{"data":[{"index":0,"embedding":"!!"}]}"#, #"{"data":[{"index":0}]}"#,
        #"{"data":[{"index":0,"embedding":[1e300,0,0]}]}"#,
        #"{"data":[{"index":-9223372036854775808,"embedding":[1,0,0]}]}"#,
    ])
    func `an answer that is not what it should be is refused`(body: String) async throws {
        let server = try ScriptedHTTPServer { _ in [.answer(text: body)] }
        let embedder = try await RemoteEmbedder.connect(configuration(server), transport: client)
        await #expect(throws: EmbeddingError.self) { try await embedder.encode(["a"]) }
    }

    @Test func `a key is never printed`() {
        var configuration = RemoteEmbedder.Configuration(baseURL: "http://h/v1", model: "m")
        configuration.apiKey = APIKey("s3cret")
        var text = "\(configuration) \(String(reflecting: configuration))"
        dump(configuration, to: &text)
        #expect(!text.contains("s3cret"))
    }

    @Test func `models of different providers or dimensions never mix`() async throws {
        let server = try ScriptedHTTPServer { [Self.reply($0)] }
        var other = configuration(server)
        let first = try await RemoteEmbedder.connect(other, transport: client)
        other.dimension = 4
        let second = try await RemoteEmbedder.connect(other, transport: client)
        #expect(first.model != second.model)
        #expect(first.model.revision != second.model.revision)
    }

    @Test func `windows cover a text at word boundaries`() async throws {
        let server = try ScriptedHTTPServer { [Self.reply($0)] }
        var configuration = configuration(server)
        configuration.maximumTokens = 16
        let embedder = try await RemoteEmbedder.connect(configuration, transport: client)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let pieces = ["a", "word", " ", "\n\n", "é", "🙂", String(repeating: "漢", count: 40)]
            let count = Int.random(in: 0..<60, using: &random)
            let text = (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let bytes = Array(text.utf8)
            let windows = embedder.windows(of: text, maximumCount: 1000)
            var covered = Set<Int>()
            for (index, window) in windows.enumerated() {
                #expect(!window.isEmpty && window.count <= embedder.windowByteCount)
                let slice = String(decoding: bytes[window], as: UTF8.self)
                #expect(slice.utf8.count == window.count && !slice.contains("\u{FFFD}"))
                if index > 0 { #expect(window.lowerBound > windows[index - 1].lowerBound) }
                covered.formUnion(window)
            }
            for (index, byte) in bytes.enumerated() where byte > 0x20 {
                #expect(covered.contains(index))
            }
            #expect(embedder.windows(of: text, maximumCount: 2) == Array(windows.prefix(2)))
        }
    }
}
