import Domain
import Embeddings
import Glibc

/// Measures the local encoder and prints one JSON line a measurement.
///
/// First from start to the first vector, then texts a second for titles and bodies in each
/// precision: on as many workers as there shall be threads, or else on one and, in the machine's
/// usual precision, on two.
///
/// - Parameter options: A model's directory, and JSONL of one object with `text` and its `kind` a
///   line; the texts of a kind are measured together. The peers' program takes the same file.
/// - Throws: What loading or encoding throws, or ``BenchmarkError`` when there are no texts.
func benchmarkEncoding(_ options: TextOptions) async throws {
    let kinds = try textsByKind(options.textsPath)
    try await measureColdStart(options.modelPath)
    for (precision, workerCount) in encoderRuns(threads: options.threads) {
        var configuration = LocalEmbedder.Configuration()
        configuration.workerCount = workerCount
        configuration.precision = precision
        let embedder = try LocalEmbedder(
            directory: options.modelPath,
            configuration: configuration
        )
        for texts in kinds {
            _ = try await embedder.encode(texts.texts)
            try await measureThroughput(embedder, texts, configuration, options.textsPath)
        }
    }
}

/// In which precisions texts are encoded, and on how many workers.
private func encoderRuns(threads: Int?) -> [(EncodingPrecision, Int)] {
    guard let threads else { return [(.float32, 1), (.bfloat16, 1), (.int8, 1), (.int8, 2)] }
    return EncodingPrecision.allCases.map { ($0, threads) }
}

/// Texts that are measured together.
private struct TextsOfKind {
    let kind: String
    var texts: [String]
}

private func textsByKind(_ path: String) throws -> [TextsOfKind] {
    var found: [TextsOfKind] = []
    for line in try jsonLines(of: path) {
        guard let text = line["text"]?.string else { continue }
        let kind = line["kind"]?.string ?? "texts"
        if let place = found.firstIndex(where: { $0.kind == kind }) {
            found[place].texts.append(text)
        } else {
            found.append(TextsOfKind(kind: kind, texts: [text]))
        }
    }
    guard !found.isEmpty else { throw BenchmarkError.unreadable(path) }
    return found
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
        "benchmark": "encode-cold", "engine": "preloop", "machine": .string(Measuring.machine),
        "unix_time": .integer(Int64(time(nil))), "load_ms": .double((loaded - start).milliseconds),
        "first_encode_ms": .double((encoded - loaded).milliseconds),
    ])
}

/// Thirty passes over the texts, as the peers get; the best counts, so that a busy neighbour does
/// not.
private func measureThroughput(
    _ embedder: LocalEmbedder,
    _ texts: TextsOfKind,
    _ configuration: LocalEmbedder.Configuration,
    _ textsPath: String
) async throws {
    var wall: [Double] = []
    var processor: [Double] = []
    for _ in 0..<30 {
        let (start, used) = (ContinuousClock.now, processorSeconds())
        _ = try await embedder.encode(texts.texts)
        wall.append((ContinuousClock.now - start).milliseconds / 1000)
        processor.append(processorSeconds() - used)
    }
    let count = Double(texts.texts.count)
    printLine([
        "benchmark": "encode", "engine": "preloop",
        "precision": .string(configuration.precision.rawValue),
        "machine": .string(Measuring.machine), "unix_time": .integer(Int64(time(nil))),
        "data": .string(fileName(of: textsPath)), "texts": .string(texts.kind),
        "count": .integer(Int64(texts.texts.count)),
        "tokens": .integer(Int64(embedder.tokenIDs(for: texts.texts[0]).count)),
        "workers": .integer(Int64(configuration.workerCount)),
        "texts_per_s": .double(count / (wall.min() ?? .infinity)),
        "texts_per_cpu_s": .double(count / (processor.min() ?? .infinity)),
        "pass_p50_ms": .double(Measuring.percentile(wall, 0.5) * 1000),
        "pass_p99_ms": .double(Measuring.percentile(wall, 0.99) * 1000),
    ])
}

/// Processor seconds of the process so far.
func processorSeconds() -> Double {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Prints one line of a measurement.
func printLine(_ members: JSONValue) {
    print(members.serializedText())
}

extension Duration {
    fileprivate var milliseconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) * 1000 + Double(attoseconds) / 1e15
    }
}
