import Glibc
import VectorIndex

/// Measures `HNSWIndex` on a set of half-float vectors with known nearest neighbours: build,
/// recall and speed per effort, filters, deletion, snapshot.
///
/// One JSON line per measurement on standard output.
///
///     preloop-bench index|filter|churn|snapshot DIRECTORY [n=N] [m=M] [construction=EF]
///
/// DIRECTORY holds `base-50000x384.f16`, `queries-1000x384.f16` (row-major half floats of unit
/// length). Searches run on one thread. The truth is the index's own exact search; recall@10
/// counts a hit whose score reaches the tenth exact score less 1e-6, so that ties do not matter.
enum VectorIndexBenchmark {
    /// What to measure and on what.
    private struct Options {
        var directory = ""
        var count = 50_000
        var m = 16
        var construction = 200
        var parts: Set<String> = []
    }

    private static let dimension = 384

    /// The arguments, as the program's usage text shows them.
    static let synopsis = "DIRECTORY [n=N] [m=M] [construction=EF]"

    /// Runs one kind of measurement.
    ///
    /// - Parameters:
    ///   - arguments: As in the synopsis.
    ///   - part: `search`, `filter`, `delete` or `snapshot`.
    /// - Throws: `BenchmarkError` when the data cannot be read, and what the index throws.
    static func run(arguments: [String], part: String) throws {
        var options = try parse(arguments)
        options.parts = [part]
        let base = try readHalfFloats("\(options.directory)/base-50000x384.f16")
        let queries = try readHalfFloats("\(options.directory)/queries-1000x384.f16")
        let configuration = HNSWIndex.Configuration(
            dimension: dimension,
            m: options.m,
            efConstruction: options.construction
        )
        let index = try HNSWIndex(configuration: configuration, identity: "benchmark/384")
        let rows = Array(base.prefix(options.count))
        let seconds = try cpuSeconds {
            for (key, vector) in rows.enumerated() {
                try index.insert(key: Int64(key), vector: vector)
            }
        }
        report(
            "build",
            options,
            ["cpu_s": seconds, "mean_degree": index.meanDegree, "resident_mb": residentMegabytes()]
        )
        if options.parts.contains("search") { measureSearch(index, queries, options, "search") }
        if options.parts.contains("filter") { measureFilters(index, queries, options) }
        if options.parts.contains("delete") {
            try measureDeletion(index, rows, queries, options)
        }
        if options.parts.contains("snapshot") { try measureSnapshot(index, queries, options) }
    }

    // MARK: Measurements

    private static func measureSearch(
        _ index: HNSWIndex,
        _ queries: [[Float]],
        _ options: Options,
        _ name: String,
        filter: SearchFilter = .all,
        efforts: [Int] = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768]
    ) {
        let truth = queries.map { index.exactSearch($0, count: 10, filter: filter) }
        for effort in efforts {
            var found: [[IndexHit]] = []
            var best = Double.infinity
            for _ in 0..<3 {
                found.removeAll(keepingCapacity: true)
                best = min(
                    best,
                    cpuSeconds {
                        for query in queries {
                            found.append(
                                index.search(query, count: 10, effort: effort, filter: filter)
                            )
                        }
                    }
                )
            }
            var figures = latencies(queries) {
                _ = index.search($0, count: 10, effort: effort, filter: filter)
            }
            figures["ef"] = Double(effort)
            figures["recall_at_10"] = recall(found, truth)
            figures["queries_per_cpu_s"] = (Double(queries.count) / best).rounded()
            report(name, options, figures)
        }
    }

    private static func measureFilters(
        _ index: HNSWIndex,
        _ queries: [[Float]],
        _ options: Options
    ) {
        for percent in [1, 5, 10, 20, 50] {
            var random = SplitMix(state: UInt64(percent))
            let keys = KeySet(index.keys.filter { _ in random.next() % 100 < UInt64(percent) })
            measureSearch(
                index,
                queries,
                options,
                "filter_\(percent)_percent",
                filter: .only(keys),
                efforts: [32, 64, 96, 128]
            )
            let seconds = cpuSeconds {
                for query in queries.prefix(200) {
                    _ = index.exactSearch(query, count: 10, filter: .only(keys))
                }
            }
            report("exact_\(percent)_percent", options, ["queries_per_cpu_s": 200 / seconds])
        }
    }

    private static func measureDeletion(
        _ index: HNSWIndex,
        _ rows: [[Float]],
        _ queries: [[Float]],
        _ options: Options
    ) throws {
        let removed = rows.indices.filter { $0 % 10 < 3 }
        let removal = cpuSeconds { for key in removed { index.remove(key: Int64(key)) } }
        report(
            "remove_30_percent",
            options,
            ["cpu_s": removal, "mean_degree": index.meanDegree]
        )
        measureSearch(
            index,
            queries,
            options,
            "after_removal",
            efforts: [32, 64, 96, 128]
        )
        let insertion = try cpuSeconds {
            for key in removed { try index.insert(key: Int64(key), vector: rows[key]) }
        }
        report(
            "insert_again",
            options,
            ["cpu_s": insertion, "mean_degree": index.meanDegree]
        )
        measureSearch(
            index,
            queries,
            options,
            "after_insertion",
            efforts: [32, 64, 96, 128]
        )
        let violations = index.checkInvariants()
        report("invariants", options, ["violations": Double(violations.count)])
    }

    private static func measureSnapshot(
        _ index: HNSWIndex,
        _ queries: [[Float]],
        _ options: Options
    ) throws {
        let path = "/tmp/preloop-bench-\(getpid()).index"
        defer { unsafe unlink(path) }
        let saving = try wallSeconds { try index.save(to: path, revision: 1) }
        var opening: [Double] = []
        for _ in 0..<5 {
            opening.append(
                try wallSeconds {
                    let opened = try HNSWIndex.open(
                        path: path,
                        expecting: "benchmark/384",
                        dimension: dimension
                    )
                    _ = opened.search(queries[0], count: 10)
                }
            )
        }
        report(
            "snapshot",
            options,
            ["save_s": saving, "open_and_search_ms": (opening.min() ?? 0) * 1000]
        )
    }

    // MARK: Figures

    private static func recall(_ found: [[IndexHit]], _ truth: [[IndexHit]]) -> Double {
        var good = 0
        var wanted = 0
        for (hits, exact) in zip(found, truth) {
            guard let floor = exact.last?.score else { continue }
            wanted += exact.count
            good += hits.filter { $0.score >= floor - 1e-6 }.count
        }
        return Double(good) / Double(max(wanted, 1))
    }

    private static func latencies(
        _ queries: [[Float]],
        _ search: ([Float]) -> Void
    ) -> [String: Double] {
        let microseconds = queries.map { query in wallSeconds { search(query) } * 1e6 }.sorted()
        func percentile(_ share: Double) -> Double {
            microseconds[Int(Double(microseconds.count - 1) * share)].rounded()
        }
        return ["p50_us": percentile(0.5), "p95_us": percentile(0.95), "p99_us": percentile(0.99)]
    }

    private static func report(_ name: String, _ options: Options, _ figures: [String: Double]) {
        var line =
            "{\"benchmark\":\"vector-index/\(name)\",\"machine\":\"\(machine())\","
            + "\"unix_time\":\(time(nil)),\"n\":\(options.count),\"m\":\(options.m),"
            + "\"ef_construction\":\(options.construction)"
        for (key, value) in figures.sorted(by: { $0.key < $1.key }) {
            line += ",\"\(key)\":\((value * 10_000).rounded() / 10_000)"
        }
        print(line + "}")
        fflush(nil)
    }

    private static func cpuSeconds(_ body: () throws -> Void) rethrows -> Double {
        try seconds(CLOCK_PROCESS_CPUTIME_ID, body)
    }

    private static func wallSeconds(_ body: () throws -> Void) rethrows -> Double {
        try seconds(CLOCK_MONOTONIC, body)
    }

    private static func seconds(_ clock: clockid_t, _ body: () throws -> Void) rethrows -> Double {
        var start = timespec()
        var end = timespec()
        unsafe clock_gettime(clock, &start)
        try body()
        unsafe clock_gettime(clock, &end)
        return Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) / 1e9
    }

    private static func residentMegabytes() -> Double {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_maxrss) / 1024
    }

    private static func machine() -> String {
        guard let file = unsafe fopen("/proc/cpuinfo", "r") else { return "unknown" }
        defer { unsafe fclose(file) }
        var buffer = [CChar](repeating: 0, count: 4096)
        while unsafe fgets(&buffer, Int32(buffer.count), file) != nil {
            let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
            let line = String(decoding: bytes, as: UTF8.self)
            if line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") {
                return String(line[line.index(colon, offsetBy: 2)...])
            }
        }
        return "unknown"
    }

    // MARK: Input

    private static func parse(_ arguments: [String]) throws -> Options {
        var options = Options()
        for argument in arguments {
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            switch (parts.first, parts.count) {
            case ("n", 2): options.count = Int(parts[1]) ?? options.count
            case ("m", 2): options.m = Int(parts[1]) ?? options.m
            case ("construction", 2): options.construction = Int(parts[1]) ?? options.construction
            default: options.directory = argument
            }
        }
        guard !options.directory.isEmpty else { throw BenchmarkError.noDirectory }
        return options
    }

    private static func readHalfFloats(_ path: String) throws -> [[Float]] {
        guard let file = unsafe fopen(path, "rb") else { throw BenchmarkError.unreadable(path) }
        defer { unsafe fclose(file) }
        var rows: [[Float]] = []
        var row = [Float16](repeating: 0, count: dimension)
        while unsafe fread(&row, 2, dimension, file) == dimension {
            rows.append(row.map(Float.init))
        }
        return rows
    }

    /// Why a benchmark cannot start.
    enum BenchmarkError: Error {
        case noDirectory
        case unreadable(String)
    }
}

/// A seeded generator, so that every run filters the same rows.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
