import Domain
import Embeddings
import Glibc

/// What the subcommands for texts take.
struct TextOptions {
    let modelPath: String
    let textsPath: String
    /// Threads that share the texts; nil: what the subcommand measures by itself.
    let threads: Int?

    /// The arguments, as the program's usage text shows them.
    static let synopsis = "MODEL-DIRECTORY TEXTS.jsonl [--threads T]"

    /// Reads arguments, of which there are two at least.
    ///
    /// - Throws: ``BenchmarkError/badArgument(_:)``.
    init(_ arguments: [String]) throws {
        modelPath = arguments[0]
        textsPath = arguments[1]
        let rest = Array(arguments.dropFirst(2))
        if rest.isEmpty {
            threads = nil
        } else if rest.count == 2, rest[0] == "--threads", let number = Int(rest[1]), number > 0 {
            threads = number
        } else {
            throw BenchmarkError.badArgument(rest.joined(separator: " "))
        }
    }
}

/// Measures the tokenizer, on one thread unless there shall be more, and prints one JSON line.
///
/// - Parameter options: A model's directory, and JSONL of one object with `text` a line.
/// - Throws: What loading throws, or ``BenchmarkError`` when there are no texts.
func benchmarkTokenizing(_ options: TextOptions) async throws {
    let (textsPath, threads) = (options.textsPath, options.threads ?? 1)
    let vocabularyPath = options.modelPath + "/vocab.txt"
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
    var bestWall = Duration.seconds(1 << 30)
    // As often as the peer.
    for _ in 0..<3 {
        let (start, used) = (ContinuousClock.now, processorSeconds())
        tokenCount = await countTokens(of: texts, with: tokenizer, threads: threads)
        best = min(best, processorSeconds() - used)
        bestWall = min(bestWall, ContinuousClock.now - start)
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
        "threads": .integer(Int64(threads)),
        "texts": .integer(Int64(texts.count)), "bytes": .integer(Int64(byteCount)),
        "tokens": .integer(Int64(tokenCount)),
        "megabytes_per_cpu_s": .double(Double(byteCount) / best / 1e6),
        "megabytes_per_s": .double(Double(byteCount) / (bestWall / .seconds(1)) / 1e6),
        "texts_per_cpu_s": .double(Double(texts.count) / best),
        "p50_us": .double(Measuring.percentile(times, 0.5)),
        "p99_us": .double(Measuring.percentile(times, 0.99)),
    ])
}

/// Tokens of all texts, which so many tasks share.
@concurrent
private func countTokens(
    of texts: [String],
    with tokenizer: WordPieceTokenizer,
    threads: Int
) async -> Int {
    let taskCount = min(threads, texts.count)
    guard taskCount > 1 else {
        return countTokens(of: texts, with: tokenizer, from: 0, step: 1)
    }
    return await withTaskGroup(of: Int.self) { group in
        for first in 0..<taskCount {
            group.addTask {
                countTokens(of: texts, with: tokenizer, from: first, step: taskCount)
            }
        }
        return await group.reduce(into: 0) { $0 += $1 }
    }
}

/// Tokens of every text from one on, so many apart.
private func countTokens(
    of texts: [String],
    with tokenizer: WordPieceTokenizer,
    from first: Int,
    step: Int
) -> Int {
    var count = 0
    for place in stride(from: first, to: texts.count, by: step) {
        var ids: [Int32] = []
        tokenizer.appendIDs(of: texts[place], to: &ids, maximumCount: .max / 2)
        count += ids.count
    }
    return count
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
