import Glibc

/// Vectors and queries of a measurement, and the true nearest neighbours.
struct VectorData {
    let dimension: Int
    /// Rows of unit length, which the true nearest are looked for among.
    let base: [[Float]]
    /// Rows as the index gets them: of unit length too, or of the lengths that the file has.
    let stored: [[Float]]
    let queries: [[Float]]

    /// Hits wanted of each query, as in the peers' programs.
    static let wanted = 10
    /// A hit counts when its exact score is at most so much below the last true one, so that ties
    /// do not matter.
    static let tolerance: Float = 1e-6

    /// Reads the files that the options name.
    ///
    /// - Throws: ``BenchmarkError`` when a file cannot be read or holds no whole row.
    init(_ options: VectorOptions) throws {
        dimension = options.dimension
        let rows = try Self.read(options.basePath, options, limit: options.count)
        base = rows.map(Self.unit)
        stored = options.keepsLengths ? rows : base
        queries = try Self.read(options.queriesPath, options, limit: .max).map(Self.unit)
    }

    private static func read(
        _ path: String,
        _ options: VectorOptions,
        limit: Int
    ) throws -> [[Float]] {
        guard let file = unsafe fopen(path, "rb") else { throw BenchmarkError.unreadable(path) }
        defer { unsafe fclose(file) }
        let dimension = options.dimension
        var rows: [[Float]] = []
        if options.isHalf {
            var row = [Float16](repeating: 0, count: dimension)
            while rows.count < limit, unsafe fread(&row, 2, dimension, file) == dimension {
                rows.append(row.map(Float.init))
            }
        } else {
            var row = [Float](repeating: 0, count: dimension)
            while rows.count < limit, unsafe fread(&row, 4, dimension, file) == dimension {
                rows.append(row)
            }
        }
        guard !rows.isEmpty else { throw BenchmarkError.unreadable(path) }
        return rows
    }

    private static func unit(_ vector: [Float]) -> [Float] {
        let norm = dot(vector, vector).squareRoot()
        // Stored halves are of unit length but for their rounding, which counts as the vector's.
        return abs(norm - 1) < 1e-3 ? vector : vector.map { $0 / norm }
    }

    /// For each query the exact score of the last wanted row that passes.
    func floors(
        wanted: Int = VectorData.wanted,
        passing isPassing: (Int) -> Bool = { _ in true }
    ) -> [Float] {
        let rows = base.indices.filter(isPassing)
        return queries.map { query in
            var best: [Float] = []
            for row in rows {
                let score = Self.dot(query, base[row])
                if best.count == wanted, let last = best.last {
                    if score <= last { continue }
                    best.removeLast()
                }
                let place = best.firstIndex { $0 < score } ?? best.count
                best.insert(score, at: place)
            }
            return (best.last ?? 0) - Self.tolerance
        }
    }

    /// Share of the true nearest that were found.
    func recall(_ found: [[Int64]], floors: [Float], wanted: Int = VectorData.wanted) -> Double {
        var good = 0
        for (query, keys) in found.enumerated() {
            good += keys.count { Self.dot(queries[query], base[Int($0)]) >= floors[query] }
        }
        return Double(good) / Double(wanted * found.count)
    }

    private typealias Lanes = SIMD16<Float>

    /// Inner product over float32.
    static func dot(_ first: [Float], _ second: [Float]) -> Float {
        unsafe first.withUnsafeBytes { left in
            unsafe second.withUnsafeBytes { right in
                var sums = Lanes()
                var offset = 0
                while offset + 64 <= left.count {
                    let a = unsafe left.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
                    let b = unsafe right.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
                    // Not `addProduct`, which without FMA calls libm for every lane.
                    sums += a * b
                    offset += 64
                }
                var sum = sums.sum()
                for index in (offset / 4)..<first.count { sum += first[index] * second[index] }
                return sum
            }
        }
    }
}

/// What the vector subcommands take.
struct VectorOptions {
    var basePath = ""
    var queriesPath = ""
    var isHalf = true
    /// Whether the index gets the rows as they are in the file and has to normalise them.
    var keepsLengths = false
    var dimension = 384
    var count = Int.max
    var threads = 1
    var m = 16
    var construction = 120
    var threshold = 0.85
    /// Where snapshots are written.
    var scratchDirectory = "/tmp"

    /// The arguments, as the program's usage text shows them.
    static let synopsis = """
        --base F --queries F [--type f16|f32] [--dim N] [--n N] [--lengths unit|given]
                     [--threads T] [--m M] [--ef-construction EF] [--threshold COSINE]
                     [--scratch DIRECTORY]
        """

    /// Reads arguments.
    ///
    /// - Throws: ``BenchmarkError/badArgument(_:)``.
    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { throw BenchmarkError.badArgument(name) }
            func number() throws -> Int {
                guard let number = Int(value), number > 0 else {
                    throw BenchmarkError.badArgument("\(name) \(value)")
                }
                return number
            }
            switch name {
            case "--base": basePath = value
            case "--queries": queriesPath = value
            case "--type" where value == "f16" || value == "f32": isHalf = value == "f16"
            case "--lengths" where value == "unit" || value == "given":
                keepsLengths = value == "given"
            case "--dim": dimension = try number()
            case "--scratch": scratchDirectory = value
            case "--n": count = try number()
            case "--threads": threads = try number()
            case "--m": m = try number()
            case "--ef-construction": construction = try number()
            case "--threshold":
                guard let cosine = Double(value) else { throw BenchmarkError.badArgument(value) }
                threshold = cosine
            default: throw BenchmarkError.badArgument("\(name) \(value)")
            }
        }
        guard !basePath.isEmpty else { throw BenchmarkError.badArgument("--base is missing") }
        if queriesPath.isEmpty { queriesPath = basePath }
    }
}

/// Why a benchmark cannot start.
enum BenchmarkError: Error {
    case badArgument(String)
    case unreadable(String)
    /// The service did not give everything.
    case incomplete(String)
}

/// A seeded generator (splitmix64), so that every run filters the same rows.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
