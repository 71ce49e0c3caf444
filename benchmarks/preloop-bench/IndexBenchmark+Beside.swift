import Dispatch
import Synchronization
import VectorIndex

extension IndexBenchmark {
    /// What a writer does while searches are measured.
    private enum Change: String, CaseIterable, Sendable {
        /// Nothing: how long searches take alone.
        case none
        case removal
        case insertion
        case update
        case build
    }

    /// Latencies of searches with and without a writer on another thread.
    ///
    /// 30 % of the rows are removed, inserted again one by one, given other vectors, and removed
    /// and built in again; the searches of this thread go on until the writer has finished. The
    /// largest latency is the longest time for which links were changed, and on a machine without
    /// two idle processors what the system let others do.
    static func runBeside(_ arguments: [String]) throws {
        let subject = try Subject(arguments)
        let removed = subject.data.base.indices.filter { $0 % 10 < 3 }
        let alone = latencies(subject) { $0 < aloneRounds }
        report(subject, .none, alone, changes: 0, seconds: 0)
        for change in Change.allCases where change != .none {
            if change == .build {
                // What is measured is the building, which needs rows that are not there.
                for row in removed { subject.index.remove(key: Int64(row)) }
            }
            let work = Work(subject, change, removed)
            DispatchQueue.global().async { work.run() }
            let times = latencies(subject) { _ in !work.isOver.load(ordering: .acquiring) }
            guard work.failures.load(ordering: .relaxed) == 0 else {
                throw BenchmarkError.incomplete("the index refused a vector")
            }
            let nanoseconds = work.nanoseconds.load(ordering: .relaxed)
            report(
                subject,
                change,
                times,
                changes: removed.count,
                seconds: Double(nanoseconds) / 1e9
            )
        }
        var line = subject.line("beside")
        line.add("writer", "invariants")
        line.add("violations", subject.index.checkInvariants().count)
        line.print()
    }

    /// Rounds over all queries without a writer.
    private static let aloneRounds = 20

    /// Microseconds of each search, in rounds of all queries as long as `goesOn` says of the next.
    private static func latencies(_ subject: Subject, _ goesOn: (Int) -> Bool) -> [Double] {
        var times: [Double] = []
        var round = 0
        repeat {
            for query in subject.data.queries {
                times.append(
                    Measuring.wallSeconds { _ = subject.index.search(query, count: 10) } * 1e6
                )
                // A writer that has finished must not be diluted by the rest of the round.
                guard goesOn(round) else { return times }
            }
            round += 1
        } while goesOn(round)
        return times
    }

    private static func report(
        _ subject: Subject,
        _ change: Change,
        _ times: [Double],
        changes: Int,
        seconds: Double
    ) {
        var line = subject.line("beside")
        line.add("writer", change.rawValue)
        line.add("changes", changes)
        line.add("changes_per_s", seconds > 0 ? (Double(changes) / seconds).rounded() : 0)
        line.add("searches", times.count)
        line.add("p50_us", Measuring.percentile(times, 0.5))
        line.add("p99_us", Measuring.percentile(times, 0.99))
        line.add("max_us", times.max() ?? 0)
        line.print()
    }

    /// What the writer's thread does.
    private final class Work: Sendable {
        let isOver = Atomic(false)
        let failures = Atomic(0)
        let nanoseconds = Atomic(0)
        private let index: HNSWIndex
        private let base: [[Float]]
        private let rows: [Int]
        private let change: Change
        private let threads: Int

        init(_ subject: Subject, _ change: Change, _ rows: [Int]) {
            index = subject.index
            base = subject.data.base
            threads = subject.options.threads
            self.change = change
            self.rows = rows
        }

        func run() {
            let seconds = Measuring.wallSeconds {
                do throws(VectorIndexError) {
                    try apply()
                } catch {
                    failures.store(1, ordering: .relaxed)
                }
            }
            nanoseconds.store(Int(seconds * 1e9), ordering: .relaxed)
            isOver.store(true, ordering: .releasing)
        }

        private func apply() throws(VectorIndexError) {
            switch change {
            case .none: break
            case .removal:
                for row in rows { index.remove(key: Int64(row)) }
            case .insertion:
                for row in rows { try index.insert(key: Int64(row), vector: base[row]) }
            case .update:
                // Each gets the vector of the row behind it.
                for row in rows {
                    let vector = base[(row + 1) % base.count]
                    try index.insert(key: Int64(row), vector: vector)
                }
            case .build:
                try index.build(
                    keys: rows.map(Int64.init),
                    vectors: rows.map { base[$0] },
                    threads: threads
                )
            }
        }
    }
}
