import Domain
import Foundation
import Search
import Store

/// What a step of the ladder carries: bytes of its tables, their indexes and the index files, and
/// searches a second, the vectors in memory.
///
/// Run it for each engine; the database is filled when it is empty.
enum LadderBenchmark {
    static let synopsis = "DATABASE TEXTS.jsonl " + VectorOptions.synopsis

    /// Tables that grow with the issues; each has a column `id`, or one that is as good.
    private static let tables = ["issues", "passages"]
    /// Searches under way at a time.
    private static let loads = [1, 2]
    private static let wanted = 10

    static func run(_ arguments: [String]) async throws {
        let options = try VectorOptions(Array(arguments.dropFirst(2)))
        let address = arguments[0]
        let isPostgres = PostgresConfiguration.isAddress(address)
        let database: any Database =
            isPostgres
            ? PostgresDatabase(PostgresConfiguration(address: Secret(address)))
            : try SQLiteDatabase(path: address)
        let engine = isPostgres ? "postgres" : "sqlite"
        let store = try await Store.open(database)
        let texts = try BackendsBenchmark.read(arguments[1])
        let data = try VectorData(options)
        let world = try await BackendsWorld(filling: store, with: data.base, texts: texts)
        let questions = BackendsQuestions(world, data, texts)
        let folder = "\(options.scratchDirectory)/preloop-bench-ladder-\(engine)"
        try IndexDirectory.make(folder)
        let index = try await SearchIndex(
            store: store,
            identity: world.identity,
            model: world.model.id,
            directory: folder,
            role: .writer
        )
        try await index.refresh()
        try await index.saveIfWorthwhile()
        let words = "\(folder)/lexical.sqlite"
        let lexical = try await LexicalIndex(path: words, of: store)
        try await lexical.follow(store)
        func started(_ what: String) -> MeasurementLine {
            var line = MeasurementLine("ladder", options, count: data.base.count)
            line.add("engine", engine)
            line.add("what", what)
            return line
        }
        for table in tables {
            let sizes = try await sizes(of: table, in: store)
            var line = started("table")
            line.add("table", table)
            line.add("rows", sizes.rows)
            line.add("bytes", sizes.bytes)
            line.add("index_bytes", sizes.indexBytes)
            line.print()
        }
        for (name, file) in [("vectors", index.path), ("words", words)] {
            var line = started("file")
            line.add("table", name)
            line.add("rows", data.base.count)
            let attributes = try FileManager.default.attributesOfItem(atPath: file)
            line.add("bytes", (attributes[.size] as? NSNumber)?.intValue ?? 0)
            line.print()
        }
        let search = IssueSearch(
            store: store,
            embedder: questions.embedder,
            index: index,
            lexical: lexical
        )
        _ = try await seconds(of: questions.earlier, by: search, atOnce: 1)
        for load in loads {
            var line = started("searches")
            try await measure(search, questions.texts, atOnce: load, into: &line)
            line.print()
        }
        try await database.close()
    }

    private static func measure(
        _ search: IssueSearch,
        _ texts: [String],
        atOnce load: Int,
        into line: inout MeasurementLine
    ) async throws {
        let start = ContinuousClock.now
        let times = try await seconds(of: texts, by: search, atOnce: load)
        let elapsed = start.duration(to: .now) / .seconds(1)
        line.add("at_once", load)
        line.add("searches_per_second", Double(times.count) / elapsed)
        line.add("p50_ms", Measuring.percentile(times, 0.5) * 1_000)
        line.add("p99_ms", Measuring.percentile(times, 0.99) * 1_000)
    }

    /// Seconds that each search takes, so many of them under way at a time.
    private static func seconds(
        of texts: [String],
        by search: IssueSearch,
        atOnce load: Int
    ) async throws -> [Double] {
        try await withThrowingTaskGroup(of: [Double].self) { group in
            for share in 0..<load {
                group.addTask {
                    var seconds: [Double] = []
                    for place in stride(from: share, to: texts.count, by: load) {
                        var request = SearchRequest(text: texts[place])
                        request.limit = wanted
                        let start = ContinuousClock.now
                        _ = try await search.search(request)
                        seconds.append(start.duration(to: .now) / .seconds(1))
                    }
                    return seconds
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }

    private struct Sizes: Sendable {
        var rows: Int
        var bytes: Int
        var indexBytes: Int
    }

    private static func sizes(of table: String, in store: Store) async throws -> Sizes {
        try await store.read { connection, _ in
            let statement: SQL =
                switch connection.dialect {
                case .sqlite:
                    """
                    SELECT (SELECT SUM(pgsize) FROM dbstat WHERE name = \(table)) AS bytes,
                        (SELECT SUM(d.pgsize) FROM dbstat AS d
                         JOIN sqlite_master AS m ON m.name = d.name
                         WHERE m.type = 'index' AND m.tbl_name = \(table)) AS index_bytes
                    """
                case .postgres:
                    """
                    SELECT pg_table_size(\(table)::text::regclass) AS bytes,
                        pg_indexes_size(\(table)::text::regclass) AS index_bytes
                    """
                }
            let counted: SQL =
                table == "issues"
                ? "SELECT COUNT(*) AS rows FROM issues" : "SELECT COUNT(*) AS rows FROM passages"
            let sizes = try connection.rows(statement)[0]
            return Sizes(
                rows: Int(try connection.rows(counted)[0].integer("rows")),
                bytes: Int(try sizes.optionalInteger("bytes") ?? 0),
                indexBytes: Int(try sizes.optionalInteger("index_bytes") ?? 0)
            )
        }
    }
}
