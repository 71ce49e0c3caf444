import Domain
import Embeddings
import Glibc

/// Measures the local encoder and prints one JSON line a measurement.
///
/// First from start to the first vector, then texts a second for titles and bodies on one and two
/// workers.
///
/// - Parameter modelPath: A model's directory.
/// - Throws: What loading or encoding throws.
func benchmarkEncoding(modelPath: String) async throws {
    try await measureColdStart(modelPath)
    for workerCount in [1, 2] {
        var configuration = LocalEmbedder.Configuration()
        configuration.workerCount = workerCount
        let embedder = try LocalEmbedder(directory: modelPath, configuration: configuration)
        for (name, tokenCount, textCount) in [("titles", 18, 512), ("bodies", 128, 96)] {
            let texts = (0..<textCount).map { benchmarkText(tokenCount, seed: $0, embedder) }
            _ = try await embedder.encode(Array(texts.prefix(32)))
            try await measureThroughput(embedder, texts, name: name, workerCount: workerCount)
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

/// Five passes over the texts; the median counts, so that a busy neighbour does not.
private func measureThroughput(
    _ embedder: LocalEmbedder,
    _ texts: [String],
    name: String,
    workerCount: Int
) async throws {
    var wall: [Double] = []
    var processor: [Double] = []
    for _ in 0..<5 {
        let (start, used) = (ContinuousClock.now, processorSeconds())
        _ = try await embedder.encode(texts)
        wall.append((ContinuousClock.now - start).milliseconds / 1000)
        processor.append(processorSeconds() - used)
    }
    let count = Double(texts.count)
    printLine([
        "benchmark": "encode", "texts": .string(name), "count": .integer(Int64(texts.count)),
        "tokens": .integer(Int64(embedder.tokenIDs(for: texts[0]).count)),
        "workers": .integer(Int64(workerCount)),
        "texts_per_second": .double(count / wall.sorted()[2]),
        "texts_per_processor_second": .double(count / processor.sorted()[2]),
    ])
}

/// A text of exactly `tokenCount` tokens, the special ones included, other words for other seeds.
private func benchmarkText(_ tokenCount: Int, seed: Int, _ embedder: LocalEmbedder) -> String {
    let words = [
        "window", "crash", "file", "error", "when", "the", "build", "fails", "memory", "open",
        "test",
        "server", "is", "slow", "after", "update", "user", "login", "page", "not", "found",
    ]
    var text = ""
    var step = seed
    while embedder.tokenIDs(for: text).count < tokenCount {
        step = (step &* 1_103_515_245 &+ 12_345) & 0x7FFF_FFFF
        text += words[(step >> 8) % words.count] + " "
    }
    return text
}

private func processorSeconds() -> Double {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

private func printLine(_ members: JSONValue) {
    print(members.serializedText())
}

extension Duration {
    fileprivate var milliseconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) * 1000 + Double(attoseconds) / 1e15
    }
}
