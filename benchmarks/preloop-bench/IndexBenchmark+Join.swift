import VectorIndex

extension IndexBenchmark {
    /// Two keys, the smaller one first.
    private struct Pair: Hashable {
        let first: Int64
        let second: Int64

        init(_ pair: NearPair) {
            first = pair.first
            second = pair.second
        }
    }

    /// The arguments, as the program's usage text shows them.
    static let joinSynopsis = """
        \(VectorOptions.synopsis)
                     (every join runs once: seconds and no percentiles; --threads are of the build)
        """

    /// All pairs above a cosine: exactly, and through the graph.
    ///
    /// Which pairs they are is compared, not how many: recall is the share of the exact ones that
    /// the graph finds too.
    static func runJoin(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        let threshold = Float(subject.options.threshold)
        let limit = 50_000_000
        var pairs: [NearPair] = []
        let seconds = Measuring.cpuSeconds {
            pairs = subject.index.pairs(atLeast: threshold, limit: limit)
        }
        let exact = Set(pairs.map(Pair.init))
        var line = subject.line("join")
        line.add("threshold", Double(threshold))
        line.add("pairs", exact.count)
        line.add("cpu_s", seconds)
        line.print()
        for slack in [0.05, 0.1, 0.15, 0.2] as [Float] {
            var found: [NearPair] = []
            let seconds = Measuring.cpuSeconds {
                found = subject.index.approximatePairs(
                    atLeast: threshold,
                    slack: slack,
                    limit: limit
                )
            }
            var line = subject.line("join_approximate")
            line.add("threshold", Double(threshold))
            line.add("slack", Double(slack))
            line.add("cpu_s", seconds)
            let near = Set(found.map(Pair.init))
            line.add("pairs", near.count)
            line.add("foreign_pairs", near.subtracting(exact).count)
            let shared = near.intersection(exact).count
            line.add("recall", Double(shared) / Double(max(exact.count, 1)))
            line.print()
        }
    }
}
