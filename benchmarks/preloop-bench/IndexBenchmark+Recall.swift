import VectorIndex

extension IndexBenchmark {
    /// What is found when a recall is asked for, by queries that had no part in the calibration.
    ///
    /// The calibration takes stored vectors as queries; these must be others, so `--queries` is
    /// needed. With filters as well, which are not calibrated by themselves.
    static func runRecall(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        guard subject.options.queriesPath != subject.options.basePath else {
            throw BenchmarkError.badArgument("--queries is missing, or is the base")
        }
        let calibration = Measuring.cpuSeconds { subject.index.calibrate() }
        for percent in [100, 50, 20] {
            var random = SplitMix(state: UInt64(percent))
            let passing = subject.data.base.indices.map { _ in random.next() % 100 < percent }
            let keys = KeySet(passing.indices.lazy.filter { passing[$0] }.map(Int64.init))
            let filter: SearchFilter = percent == 100 ? .all : .only(keys)
            let floors = subject.data.floors { passing[$0] }
            for recall in [0.9, 0.95, 0.99, 0.999] {
                var line = subject.line("recall")
                line.add("calibration_cpu_s", calibration)
                line.add("filter", Double(percent) / 100)
                line.add("wanted_recall", recall)
                subject.measure(line, floors: floors) {
                    subject.index.search($0, count: 10, recall: recall, filter: filter)
                }
            }
        }
        // What a fused search takes from the vectors before it ranks.
        let floors = subject.data.floors(wanted: many)
        for recall in [0.9, 0.95, 0.99, 0.999] {
            var line = subject.line("recall")
            line.add("filter", 1)
            line.add("wanted_recall", recall)
            subject.measure(line, floors: floors, wanted: many) {
                subject.index.search($0, count: many, recall: recall)
            }
        }
    }

    private static let many = 200
}
