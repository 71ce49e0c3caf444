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
    let texts = try bytes(of: textsPath).split(separator: UInt8(ascii: "\n")).compactMap { line in
        // A line that holds half of a surrogate pair is no text; the peer gets none either.
        try? JSONParser.parse(Array(line))["text"]?.string
    }
    guard !texts.isEmpty else { throw BenchmarkError.unreadable(textsPath) }
    let byteCount = texts.reduce(0) { $0 + $1.utf8.count }
    var tokenCount = 0
    var best = Double.infinity
    for _ in 0..<7 {
        let start = processorSeconds()
        tokenCount = 0
        for text in texts {
            var ids: [Int32] = []
            tokenizer.appendIDs(of: text, to: &ids, maximumCount: .max / 2)
            tokenCount += ids.count
        }
        best = min(best, processorSeconds() - start)
    }
    printLine([
        "benchmark": "tokenize", "engine": "preloop", "machine": .string(Measuring.machine),
        "texts": .integer(Int64(texts.count)), "bytes": .integer(Int64(byteCount)),
        "tokens": .integer(Int64(tokenCount)),
        "megabytes_per_cpu_s": .double(Double(byteCount) / best / 1e6),
        "texts_per_cpu_s": .double(Double(texts.count) / best),
    ])
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
