import Domain
import Embeddings
import Glibc

/// Measures the local encoder and prints one JSON line a measurement.
///
/// First from start to the first vector, then texts a second for titles and bodies in each
/// precision, on one worker and, in the machine's usual precision, on two.
///
/// - Parameter modelPath: A model's directory.
/// - Throws: What loading or encoding throws.
func benchmarkEncoding(modelPath: String) async throws {
    try await measureColdStart(modelPath)
    for (precision, workerCount) in [
        (EncodingPrecision.float32, 1), (.bfloat16, 1), (.int8, 1), (.int8, 2),
    ] {
        var configuration = LocalEmbedder.Configuration()
        configuration.workerCount = workerCount
        configuration.precision = precision
        let embedder = try LocalEmbedder(directory: modelPath, configuration: configuration)
        for (name, tokenCount, textCount) in [("titles", 18, 128), ("bodies", 128, 16)] {
            let texts = (0..<textCount).map { benchmarkText(tokenCount, seed: $0, embedder) }
            _ = try await embedder.encode(texts)
            try await measureThroughput(embedder, texts, name: name, configuration)
        }
    }
}

/// Loading and encoding one short text in a process that has done nothing else.
private func measureColdStart(_ modelPath: String) async throws {
    let clock = ContinuousClock()
    let start = clock.now
    let embedder = try LocalEmbedder(directory: modelPath)
    let loaded = clock.now
    _ = try await embedder.encode(["window crashes when the second monitor is unplugged"])
    let encoded = clock.now
    printLine([
        "benchmark": "encode-cold", "load_ms": .double((loaded - start).milliseconds),
        "first_encode_ms": .double((encoded - loaded).milliseconds),
    ])
}

/// Thirty passes over the texts, as the peers get; the best counts, so that a busy neighbour does
/// not.
private func measureThroughput(
    _ embedder: LocalEmbedder,
    _ texts: [String],
    name: String,
    _ configuration: LocalEmbedder.Configuration
) async throws {
    var wall: [Double] = []
    var processor: [Double] = []
    for _ in 0..<30 {
        let (start, used) = (ContinuousClock.now, processorSeconds())
        _ = try await embedder.encode(texts)
        wall.append((ContinuousClock.now - start).milliseconds / 1000)
        processor.append(processorSeconds() - used)
    }
    let count = Double(texts.count)
    printLine([
        "benchmark": "encode", "engine": "preloop",
        "precision": .string(configuration.precision.rawValue),
        "machine": .string(Measuring.machine), "texts": .string(name),
        "count": .integer(Int64(texts.count)),
        "tokens": .integer(Int64(embedder.tokenIDs(for: texts[0]).count)),
        "workers": .integer(Int64(configuration.workerCount)),
        "texts_per_s": .double(count / (wall.min() ?? .infinity)),
        "texts_per_cpu_s": .double(count / (processor.min() ?? .infinity)),
    ])
}

/// A text of exactly `tokenCount` tokens, the special ones included, other words for other seeds.
private func benchmarkText(_ tokenCount: Int, seed: Int, _ embedder: LocalEmbedder) -> String {
    let words = [
        "window", "crash", "file", "error", "when", "the", "build", "fails", "memory", "open",
        "test",
        "server", "is", "slow", "after", "update", "user", "sign", "page", "not", "found",
    ]
    var text = ""
    var step = seed
    while embedder.tokenIDs(for: text).count < tokenCount {
        step = (step &* 1_103_515_245 &+ 12_345) & 0x7FFF_FFFF
        text += words[(step >> 8) % words.count] + " "
    }
    return text
}

func processorSeconds() -> Double {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func printLine(_ members: JSONValue) {
    print(members.serializedText())
}

extension Duration {
    fileprivate var milliseconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) * 1000 + Double(attoseconds) / 1e15
    }
}
