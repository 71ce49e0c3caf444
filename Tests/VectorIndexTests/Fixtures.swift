import Glibc
import TestSupport

@testable import VectorIndex

/// Unit vectors in clusters, as texts about few subjects are: harder for a graph than uniform
/// noise.
struct ClusteredVectors {
    let dimension: Int
    private var centres: [[Float]] = []
    private var generator: SeededGenerator

    init(dimension: Int, clusters: Int, seed: UInt64) {
        self.dimension = dimension
        generator = SeededGenerator(seed: seed)
        centres = (0..<clusters).map { _ in noise() }
    }

    mutating func next() -> [Float] {
        let centre = centres[Int.random(in: 0..<centres.count, using: &generator)]
        let offset = noise()
        return unit(zip(centre, offset).map { $0 + 0.9 * $1 })
    }

    mutating func next(_ count: Int) -> [[Float]] {
        (0..<count).map { _ in next() }
    }

    private mutating func noise() -> [Float] {
        unit(
            (0..<dimension).map { _ in
                // The sum of uniform numbers is normal enough for directions.
                (0..<4).reduce(Float(0)) { sum, _ in
                    sum + Float.random(in: -1...1, using: &generator)
                }
            }
        )
    }
}

func unit(_ vector: [Float]) -> [Float] {
    let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return vector.map { $0 / norm }
}

/// Whether a stored vector is the given one: 16 bits per number keep it within 1e-5 of 1.
func isStored(_ vector: [Float], as stored: [Float]?) -> Bool {
    guard let stored, stored.count == vector.count else { return false }
    return zip(vector, stored).allSatisfy { abs($0 - $1) < 2e-5 }
}

func makeIndex(_ vectors: [[Float]], m: Int = 16, capacity: Int = 100_000) throws -> HNSWIndex {
    let index = try HNSWIndex(
        configuration: .init(dimension: vectors[0].count, m: m, capacity: capacity),
        identity: "test"
    )
    for (key, vector) in vectors.enumerated() {
        try index.insert(key: Int64(key), vector: vector)
    }
    return index
}

/// Share of the exact 10 nearest that `search` finds; equal scores count as found.
func recall(
    _ index: HNSWIndex,
    _ queries: [[Float]],
    effort: Int = 64,
    filter: SearchFilter = .all
) -> Double {
    var good = 0
    var wanted = 0
    for query in queries {
        let exact = index.exactSearch(query, count: 10, filter: filter)
        let floor = (exact.last?.score ?? 0) - 1e-6
        wanted += exact.count
        good +=
            index.search(query, count: 10, effort: effort, filter: filter)
            .filter { $0.score >= floor }.count
    }
    return Double(good) / Double(max(wanted, 1))
}

/// A file name in a fresh directory that is removed afterwards.
func withTemporaryPath<Result>(_ body: (String) throws -> Result) throws -> Result {
    var template = Array("/tmp/preloop-index-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw VectorIndexError.notSnapshot }
    let directory = String(
        decoding: template.dropLast().map { UInt8(bitPattern: $0) },
        as: UTF8.self
    )
    defer {
        unlink("\(directory)/index")
        unlink("\(directory)/index.tmp")
        rmdir(directory)
    }
    return try body("\(directory)/index")
}

func readFile(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "rb") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
        bytes += buffer[..<count]
    }
    return bytes
}

func writeFile(_ bytes: [UInt8], _ path: String) {
    guard let file = fopen(path, "wb") else { return }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
}
