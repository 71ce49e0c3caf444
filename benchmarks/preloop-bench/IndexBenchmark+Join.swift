import VectorIndex

extension IndexBenchmark {
    /// All pairs above a cosine: exactly, and through the graph.
    static func runJoin(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        let threshold = Float(subject.options.threshold)
        let limit = 50_000_000
        var exact: Set<[Int64]> = []
        let seconds = Measuring.cpuSeconds {
            let pairs = subject.index.pairs(atLeast: threshold, limit: limit)
            exact = Set(pairs.map { [$0.first, $0.second] })
        }
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
            let right = exact.intersection(found.map { [$0.first, $0.second] })
            line.add("recall", Double(right.count) / Double(max(exact.count, 1)))
            line.print()
        }
    }
}
