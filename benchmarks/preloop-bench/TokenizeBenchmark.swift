import Domain
import Embeddings
import Glibc

/// Measures the tokenizer on one thread and prints one JSON line.
///
/// - Parameters:
///   - modelPath: A model's directory.
///   - textsPath: JSONL, one object with `text` a line.
/// - Throws: What loading throws, or ``BenchmarkError`` when there are no texts.
func benchmarkTokenizing(modelPath: String, textsPath: String) throws {
    let vocabularyPath = modelPath + "/vocab.txt"
    let tokenizer = try WordPieceTokenizer(
        vocabulary: try bytes(of: vocabularyPath),
        path: vocabularyPath,
        options: WordPieceTokenizer.Options()
    )
    let texts = try jsonLines(of: textsPath).compactMap { $0["text"]?.string }
    guard !texts.isEmpty else { throw BenchmarkError.unreadable(textsPath) }
    let byteCount = texts.reduce(0) { $0 + $1.utf8.count }
    var tokenCount = 0
    var best = Double.infinity
    // As often as the peer.
    for _ in 0..<3 {
        let start = processorSeconds()
        tokenCount = 0
        for text in texts {
            var ids: [Int32] = []
            tokenizer.appendIDs(of: text, to: &ids, maximumCount: .max / 2)
            tokenCount += ids.count
        }
        best = min(best, processorSeconds() - start)
    }
    let times = texts.map { text in
        Measuring.wallSeconds {
            var ids: [Int32] = []
            tokenizer.appendIDs(of: text, to: &ids, maximumCount: .max / 2)
        } * 1e6
    }
    printLine([
        "benchmark": "tokenize", "engine": "preloop", "machine": .string(Measuring.machine),
        "unix_time": .integer(Int64(time(nil))), "data": .string(fileName(of: textsPath)),
        "texts": .integer(Int64(texts.count)), "bytes": .integer(Int64(byteCount)),
        "tokens": .integer(Int64(tokenCount)),
        "megabytes_per_cpu_s": .double(Double(byteCount) / best / 1e6),
        "texts_per_cpu_s": .double(Double(texts.count) / best),
        "p50_us": .double(Measuring.percentile(times, 0.5)),
        "p99_us": .double(Measuring.percentile(times, 0.99)),
    ])
}

/// The values of a file of JSONL.
///
/// A line that holds half of a surrogate pair is no text and left out, as the peers do.
///
/// - Parameter path: The file.
/// - Returns: One value a line, in order.
/// - Throws: ``BenchmarkError/unreadable(_:)``.
func jsonLines(of path: String) throws -> [JSONValue] {
    try bytes(of: path).split(separator: UInt8(ascii: "\n")).compactMap { line in
        try? JSONParser.parse(Array(line))
    }
}

/// The last component of a path: the name a data set has in the lines.
func fileName(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
}

private func bytes(of path: String) throws -> [UInt8] {
    guard let file = unsafe fopen(path, "rb") else { throw BenchmarkError.unreadable(path) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let count = unsafe fread(&block, 1, block.count, file)
        guard count > 0 else { return bytes }
        bytes += block[..<count]
    }
}
