import Domain
import Embeddings
import Foundation
import Search
import Store

/// The same questions through the index in memory and through pgvector, and pgvector's own query
/// between them, with the same filter.
///
/// A database that was filled by a run before is measured as it is, with the index files in the
/// scratch directory.
enum BackendsBenchmark {
    static let synopsis = "DATABASE none|1%|10%|50%|fill TEXTS.jsonl|- " + VectorOptions.synopsis

    /// Hits of an answer.
    private static let wanted = 10
    /// Windows that a search takes to find them.
    private static let many = 200
    /// Other questions before those that are measured, as a process that serves has answered some.
    private static let earlier = 1_000
    /// `hnsw.ef_search` of the bare query: the one at which it finds as much as is wanted of it.
    private static let effort = 200

    /// Filters, by the label they ask for.
    private static let filters = [("none", nil), ("1%", "p1"), ("10%", "p10"), ("50%", "p50")]

    /// One line for the filling, and one for each filter.
    static func run(_ arguments: [String]) async throws {
        let options = try VectorOptions(Array(arguments.dropFirst(3)))
        let texts = arguments[2] == "-" ? [] : try read(arguments[2])
        let data = try VectorData(options)
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(arguments[0])))
        let store = try await Store.open(database)
        let start = ContinuousClock.now
        let world = try await BackendsWorld(
            filling: store,
            with: data.base,
            texts: texts,
            isMirrored: true
        )
        var line = MeasurementLine("backends_fill", options, count: data.base.count)
        line.add("seconds", start.duration(to: .now) / .seconds(1))
        let indexing = ContinuousClock.now
        try await VectorMirror.makeIndex(store, dimension: world.model.dimension)
        line.add("index_seconds", indexing.duration(to: .now) / .seconds(1))
        line.print()
        let backends = try await Backends(
            world,
            data,
            texts,
            directory: options.scratchDirectory
        )
        for (name, label) in filters where name == arguments[1] {
            var filter = IssueFilter()
            filter.labels = [label].compactMap { $0 }
            try await backends.warmUp(filter, earlier)
            let result = try await backends.measure(filter)
            var line = MeasurementLine("backends", options, count: data.base.count)
            line.add("filter", name)
            line.add("queries", data.queries.count)
            line.add("overlap_vector", result.vectorOverlap)
            line.add("overlap_hybrid", result.hybridOverlap)
            for (name, times) in [
                ("bare", result.bare), ("bare_200", result.bareMany),
                ("bare_rows", result.bareRows), ("words", result.words),
                ("pgvector", result.pgvector), ("memory", result.memory),
            ] where !times.isEmpty {
                line.add("\(name)_p50_ms", Measuring.percentile(times, 0.5) * 1_000)
                line.add("\(name)_p99_ms", Measuring.percentile(times, 0.99) * 1_000)
            }
            line.print()
        }
        try await database.close()
    }

    /// Titles and bodies of issues, as the sets for judging the quality have them.
    static func read(_ path: String) throws -> [(title: String, body: String)] {
        try Data(contentsOf: URL(fileURLWithPath: path)).split(separator: UInt8(ascii: "\n"))
            .map { line in
                let issue = try JSONParser.parse(Array(line))
                return (issue["title"]?.string ?? "", issue["body"]?.string ?? "")
            }
    }

    private struct Result {
        var vectorOverlap = 0.0
        var hybridOverlap = 0.0
        /// Seconds of each question.
        var bare: [Double] = []
        /// Without a filter: for as many windows as a search takes.
        var bareMany: [Double] = []
        /// With a filter: the same query with the rows that pass compared one by one.
        var bareRows: [Double] = []
        var words: [Double] = []
        var pgvector: [Double] = []
        var memory: [Double] = []
    }

    /// Both ways to search one store.
    private struct Backends {
        let world: BackendsWorld
        let texts: [String]
        /// Others, with the same vectors.
        let earlier: [String]
        let vectors: [[Float]]
        let memory: IssueSearch
        let pgvector: IssueSearch

        init(
            _ world: BackendsWorld,
            _ data: VectorData,
            _ given: [(title: String, body: String)],
            directory: String
        ) async throws {
            self.world = world
            vectors = data.queries
            let questions = BackendsQuestions(world, data, given)
            (texts, earlier) = (questions.texts, questions.earlier)
            let embedder = questions.embedder
            let folder = "\(directory)/preloop-bench-backends"
            try IndexDirectory.make(folder)
            let index = try await SearchIndex(
                store: world.store,
                identity: world.identity,
                model: world.model.id,
                directory: folder,
                role: .writer
            )
            try await index.refresh()
            try await index.saveIfWorthwhile()
            let lexical = try await LexicalIndex(path: "\(folder)/lexical.sqlite", of: world.store)
            try await lexical.follow(world.store)
            memory = IssueSearch(
                store: world.store,
                embedder: embedder,
                index: index,
                lexical: lexical
            )
            pgvector = IssueSearch(
                store: world.store,
                embedder: embedder,
                index: try await DatabaseIndex(store: world.store, model: world.model),
                lexical: lexical
            )
        }

        func warmUp(_ filter: IssueFilter, _ count: Int) async throws {
            for text in earlier.prefix(count) {
                _ = try await ask(memory, text, .hybrid, filter)
                _ = try await ask(pgvector, text, .hybrid, filter)
            }
        }

        func measure(_ filter: IssueFilter) async throws -> Result {
            var result = Result()
            var (vectorCommon, hybridCommon, vectorCount, hybridCount) = (0, 0, 0, 0)
            let bare = BareQuery(world: world, label: filter.labels.first, effort: effort)
            for place in texts.indices {
                // Side by side, so that what disturbs one disturbs the others.
                let vector = vectors[place]
                result.bare.append(try await bare.seconds(vector, wanted, by: .index))
                // For many rows that pass a narrow filter the index takes a third of a second.
                if bare.label == nil {
                    result.bareMany.append(try await bare.seconds(vector, many, by: .index))
                } else {
                    result.bareRows.append(try await bare.seconds(vector, wanted, by: .rows))
                }
                result.words.append(
                    try await time { try await ask(memory, texts[place], .text, filter) }.seconds
                )
                let text = texts[place]
                let other = try await time { try await ask(pgvector, text, .hybrid, filter) }
                let own = try await time { try await ask(memory, text, .hybrid, filter) }
                result.pgvector.append(other.seconds)
                result.memory.append(own.seconds)
                hybridCount += own.value.count
                hybridCommon += Set(own.value).intersection(other.value).count
                let expected = try await ask(memory, texts[place], .vector, filter)
                let found = try await ask(pgvector, texts[place], .vector, filter)
                vectorCount += expected.count
                vectorCommon += Set(expected).intersection(found).count
            }
            result.vectorOverlap = Double(vectorCommon) / Double(max(vectorCount, 1))
            result.hybridOverlap = Double(hybridCommon) / Double(max(hybridCount, 1))
            return result
        }

        private func ask(
            _ search: IssueSearch,
            _ text: String,
            _ mode: SearchRequest.Mode,
            _ filter: IssueFilter
        ) async throws -> [IssueID] {
            var request = SearchRequest(text: text)
            request.mode = mode
            request.filter = filter
            request.limit = wanted
            return try await search.search(request).map(\.issue.issue)
        }

        private func time<Value>(
            _ body: () async throws -> Value
        ) async throws -> (value: Value, seconds: Double) {
            let start = ContinuousClock.now
            let value = try await body()
            return (value, start.duration(to: .now) / .seconds(1))
        }
    }
}
