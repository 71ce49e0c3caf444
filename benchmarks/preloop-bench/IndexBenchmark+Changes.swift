import Glibc
import VectorIndex

extension IndexBenchmark {
    /// Filters that pass a share of the rows: by `search` as it chooses, and exactly.
    static func runFilters(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        for percent in [1, 5, 10, 20, 50] {
            var random = SplitMix(state: UInt64(percent))
            let passing = subject.data.base.indices.map { _ in random.next() % 100 < percent }
            let keys = KeySet(passing.indices.lazy.filter { passing[$0] }.map(Int64.init))
            let floors = subject.data.floors { passing[$0] }
            for effort in [24, 48, 96] {
                var line = subject.line("filter")
                line.add("filter", Double(percent) / 100)
                line.add("ef", effort)
                subject.measure(line, floors: floors) {
                    subject.index.search($0, count: 10, effort: effort, filter: .only(keys))
                }
            }
        }
    }

    /// 30 % of the rows leave and come again: what is found before, between and after.
    ///
    /// No search runs beside the changes; that is `beside`.
    static func runChurn(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        let (index, rows) = (subject.index, subject.data.stored)
        let floors = subject.data.floors()
        measure(subject, "churn", "fresh", floors, seconds: subject.buildSeconds)
        let removed = rows.indices.filter { $0 % 10 < 3 }
        let removal = Measuring.cpuSeconds { for key in removed { index.remove(key: Int64(key)) } }
        let rest = subject.data.floors { $0 % 10 >= 3 }
        measure(subject, "churn", "removed", rest, seconds: removal)
        let insertion = try Measuring.cpuSeconds {
            for key in removed { try index.insert(key: Int64(key), vector: rows[key]) }
        }
        measure(subject, "churn", "inserted_again", floors, seconds: insertion)
        var line = subject.line("churn")
        line.add("state", "invariants")
        line.add("violations", index.checkInvariants().count)
        line.print()
    }

    private static func measure(
        _ subject: Subject,
        _ name: String,
        _ state: String,
        _ floors: [Float],
        seconds: Double
    ) {
        for effort in [24, 64, 128] {
            var line = subject.line(name)
            line.add("state", state)
            line.add("change_cpu_s", seconds)
            line.add("ef", effort)
            subject.measure(line, floors: floors) {
                subject.index.search($0, count: 10, effort: effort)
            }
        }
    }

    /// The arguments, as the program's usage text shows them.
    static let snapshotSynopsis = """
        \(VectorOptions.synopsis)
                     (seven savings and loads: medians and the worst, too few for other percentiles)
        """

    /// Saving with fsync and rename; loading up to the first answer.
    ///
    /// The first save of an index calibrates it too, so it has a figure of its own, and so has
    /// calibration alone.
    static func runSnapshot(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        let path = "\(subject.options.scratchDirectory)/preloop-bench-\(getpid()).index"
        defer { unsafe unlink(path) }
        let first = try Measuring.wallSeconds { try subject.index.save(to: path, revision: 0) }
        let calibration = Measuring.wallSeconds { subject.index.calibrate() }
        var saving: [Double] = []
        var savingProcessor: [Double] = []
        var opening: [Double] = []
        var processor: [Double] = []
        // As often as the peers.
        for revision in 1...7 {
            savingProcessor.append(
                try Measuring.cpuSeconds {
                    saving.append(
                        try Measuring.wallSeconds {
                            try subject.index.save(to: path, revision: Int64(revision))
                        }
                    )
                }
            )
            processor.append(
                try Measuring.cpuSeconds {
                    opening.append(
                        try Measuring.wallSeconds {
                            let opened = try HNSWIndex.open(
                                path: path,
                                expecting: "benchmark",
                                dimension: subject.options.dimension
                            )
                            _ = opened.search(subject.data.queries[0], count: 10)
                        }
                    )
                }
            )
        }
        var line = subject.line("snapshot")
        line.add("first_save_s", first)
        line.add("calibration_s", calibration)
        line.add("save_s", Measuring.percentile(saving, 0.5))
        line.add("save_worst_s", saving.max() ?? 0)
        line.add("save_cpu_s", Measuring.percentile(savingProcessor, 0.5))
        line.add("load_and_search_s", Measuring.percentile(opening, 0.5))
        line.add("load_and_search_worst_s", opening.max() ?? 0)
        line.add("load_and_search_cpu_s", Measuring.percentile(processor, 0.5))
        line.print()
    }
}
