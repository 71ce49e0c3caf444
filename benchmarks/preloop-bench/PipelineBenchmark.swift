import Bootstrap
import Domain
import Embeddings
import Glibc
import HTTPClient
import Search
import Store
import Sync
import Synchronization

/// Measures a scan from an empty store to searchable, then scans with nothing to do (`pipeline`).
///
/// Each scan prints a line: seconds on the wall and of the processor, peak of resident memory,
/// requests with the percentiles of their times, issues, comments, passages, and how long texts
/// were being embedded and how long the encoder was idle while changes waited.
enum PipelineBenchmark {
    /// Runs the subcommand.
    static func run(_ arguments: [String]) async throws {
        let options = try PipelineOptions(arguments)
        let settings = try Settings(environment: [
            "PRELOOP_HOME": options.directory, "PRELOOP_EMBEDDING_MODEL": options.model,
        ])
        let installation = try await Installation.create(settings)
        let isNew = try await installation.feedPosition().revision == .zero
        guard isNew else { throw BenchmarkError.badArgument("--directory is not empty") }
        let tracker = Tracker(
            id: TrackerID(0),
            kind: options.kind,
            deployment: options.deployment,
            name: "benchmark",
            url: options.url,
            userName: options.user,
            createdAt: installation.store.clock.now()
        )
        let rules = options.includes.map { ScopeRule(action: .include, pattern: $0) }
        try await installation.add(
            tracker,
            secret: options.token,
            scope: Scope(rules),
            by: "local:\(LocalUser.name)"
        )
        for number in 0...options.rescans {
            try await scan(installation, options, number: number)
        }
        try await search(installation)
        try await installation.close()
    }

    /// One scan and its line.
    private static func scan(
        _ installation: Installation,
        _ options: PipelineOptions,
        number: Int
    ) async throws {
        let (start, used) = (ContinuousClock.now, processorSeconds())
        let transport = CountingTransport(base: try installation.transport())
        let indexes = try await ScanIndexes(installation)
        let scan = IndexedScan(
            installation,
            transport: transport,
            indexes: indexes,
            observer: SilentObserver()
        )
        let outcome = try await scan.run(ScanRequest(.all))
        try await indexes.close(isComplete: outcome.indexFailure == nil)
        let (wall, processor) = (ContinuousClock.now - start, processorSeconds() - used)
        if let failure = outcome.indexFailure { throw failure }
        guard outcome.scan.isComplete else { throw BenchmarkError.incomplete(options.url) }
        let (counts, index, times) = (outcome.scan.totals, outcome.index, transport.times)
        printLine([
            "lib": "preloop", "benchmark": "pipeline", "machine": .string(Measuring.machine),
            "unix_time": .integer(Int64(time(nil))),
            "what": number == 0 ? "first" : "again", "url": .string(options.url),
            "kind": .string(options.kind.rawValue),
            "projects": .integer(Int64(outcome.scan.projects.count)),
            "issues": .integer(Int64(counts.issuesCreated + counts.issuesChanged)),
            "comments": .integer(Int64(counts.commentsCreated + counts.commentsChanged)),
            "passages": .integer(Int64(index.embedded)),
            "compared": .integer(Int64(index.compared)),
            "wall_s": .double(wall / .seconds(1)), "cpu_s": .double(processor),
            "peak_mb": .double(peakMegabytes()),
            "embedding_s": .double(index.embedding / .seconds(1)),
            "idle_with_backlog_s": .double(index.idle / .seconds(1)),
            "requests": .integer(Int64(times.count)),
            "request_p50_ms": .double(Measuring.percentile(times, 0.5)),
            "request_p95_ms": .double(Measuring.percentile(times, 0.95)),
            "request_p99_ms": .double(Measuring.percentile(times, 0.99)),
        ])
    }

    /// That what was scanned is found: a search in the title of an issue it must then find.
    private static func search(_ installation: Installation) async throws {
        let start = ContinuousClock.now
        let search = try await installation.search()
        let answer = try await search.search(SearchRequest(text: "crash when the window is closed"))
        let wall = ContinuousClock.now - start
        printLine([
            "lib": "preloop", "benchmark": "pipeline", "what": "search",
            "machine": .string(Measuring.machine), "unix_time": .integer(Int64(time(nil))),
            "hits": .integer(Int64(answer.count)), "wall_s": .double(wall / .seconds(1)),
        ])
    }

    /// The most memory the process ever had.
    private static func peakMegabytes() -> Double {
        var usage = rusage()
        _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_maxrss) / 1024
    }
}

/// Wakes the indexer for every step that wrote something; the wake-ups are merged.
private struct SilentObserver: IndexedScan.Observer {
    func note(_ step: ScanProgress) -> Bool { step.written > 0 }
    func note(_ report: IndexReport) {}
    func noteWait(of tracker: String, until end: Timestamp) {}
}

/// Counts and times the exchanges.
private final class CountingTransport: HTTPTransport {
    private let base: any HTTPTransport
    private let milliseconds = Mutex<[Double]>([])

    init(base: any HTTPTransport) {
        self.base = base
    }

    var times: [Double] { milliseconds.withLock { $0 } }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let start = ContinuousClock.now
        let response = try await base.send(request)
        let time = (ContinuousClock.now - start) / .milliseconds(1)
        milliseconds.withLock { $0.append(time) }
        return response
    }
}
