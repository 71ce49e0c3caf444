import Glibc
import VectorIndex

/// Measures `HNSWIndex`: build, recall and speed (`index`), filters (`filter`), deletion and
/// re-insertion (`churn`), searches beside a writer (`beside`), what is found when a recall is
/// asked for (`recall`), snapshots (`snapshot`), all pairs (`join`).
enum IndexBenchmark {
    /// An index with its data.
    struct Subject {
        let options: VectorOptions
        let data: VectorData
        let index: HNSWIndex
        let buildSeconds: Double
        let buildWallSeconds: Double
        let residentBytes: Int

        /// Reads the data and builds the index.
        init(_ arguments: [String]) throws {
            let options = try VectorOptions(arguments)
            let data = try VectorData(options)
            let index = try HNSWIndex(
                configuration: .init(
                    dimension: options.dimension,
                    m: options.m,
                    efConstruction: options.construction
                ),
                identity: "benchmark"
            )
            // Keys are data as the vectors are: they are not the index's memory.
            let keys = data.base.indices.map(Int64.init)
            let before = Measuring.residentBytes()
            var wall = 0.0
            let seconds = try Measuring.cpuSeconds {
                wall = try Measuring.wallSeconds {
                    try index.build(
                        keys: keys,
                        vectors: data.stored,
                        threads: options.threads
                    )
                }
            }
            buildSeconds = seconds
            buildWallSeconds = wall
            // The keys are held until here, so that what they took is not counted as freed.
            residentBytes = withExtendedLifetime(keys) { Measuring.residentBytes() } - before
            self.options = options
            self.data = data
            self.index = index
        }

        /// Begins a line with what was built.
        func line(_ name: String) -> MeasurementLine {
            var line = MeasurementLine(name, options, count: data.base.count)
            line.add("build_cpu_s", buildSeconds)
            line.add("build_wall_s", buildWallSeconds)
            line.add("bytes_per_vector", residentBytes / data.base.count)
            let memory = index.memory
            line.add("index_bytes_per_vector", memory.total / data.base.count)
            line.add(
                "searched_bytes_per_vector",
                (memory.walk + memory.ranking) / data.base.count
            )
            line.add("mean_degree", index.meanDegree)
            return line
        }

        /// Queries that are timed one by one, as the peers' are: enough for a 99th percentile.
        private static let singleCount = 250

        /// Measures one way of searching: queries per second in one go, then some one by one.
        func measure(
            _ line: MeasurementLine,
            floors: [Float],
            wanted: Int = VectorData.wanted,
            _ search: ([Float]) -> [IndexHit]
        ) {
            var line = line
            var found: [[Int64]] = []
            var best = Double.infinity
            for _ in 0..<3 {
                found.removeAll(keepingCapacity: true)
                best = min(
                    best,
                    Measuring.cpuSeconds {
                        for query in data.queries { found.append(search(query).map(\.key)) }
                    }
                )
            }
            let times = data.queries.prefix(Self.singleCount).map { query in
                Measuring.wallSeconds { _ = search(query) } * 1e6
            }
            line.add(
                "recall_at_\(wanted)",
                data.recall(found, floors: floors, wanted: wanted)
            )
            line.add("queries_per_cpu_s", (Double(data.queries.count) / best).rounded())
            line.add("p50_us", Measuring.percentile(times, 0.5))
            line.add("p99_us", Measuring.percentile(times, 0.99))
            line.print()
        }
    }

    /// Recall and speed by effort.
    static func run(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        let floors = subject.data.floors()
        for (effort, reach) in settings {
            var line = subject.line("index")
            line.add("ef", effort)
            line.add("reach", Double(reach))
            subject.measure(line, floors: floors) {
                subject.index.search($0, count: 10, effort: effort, reach: reach)
            }
        }
    }

    /// Thirteen settings, as many as the peers get: of the ladder that the calibration of an index
    /// chooses from, two short lists before it and the peers' longest list after it, so that what
    /// the graphs find in the end can be compared.
    private static let settings: [(effort: Int, reach: Float)] = [
        (10, 0), (16, 0), (24, 1.1), (32, 1.1), (48, 1.12), (64, 1.16), (128, 1.16), (256, 1.2),
        (256, 1.25), (384, 1.3), (512, 1.4), (1024, 1.6), (768, 0),
    ]
}
