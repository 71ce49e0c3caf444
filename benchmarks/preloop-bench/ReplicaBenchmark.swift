import Domain
import Embeddings
import Glibc
import Search
import Store

/// A process that answers from memory: what it holds, and how long it takes to begin.
///
/// Run it twice with the same database and directory: `fill` writes vectors and a snapshot of all
/// but the last of them, `open` begins from the snapshot and follows the feed to its end.
enum ReplicaBenchmark {
    static let synopsis = "fill|open DATABASE " + VectorOptions.synopsis

    /// Vectors all in all; the data is repeated with noise.
    private static let count = 200_000
    /// Of them behind the snapshot.
    private static let feed = 10_000

    static func run(_ arguments: [String]) async throws {
        let options = try VectorOptions(Array(arguments.dropFirst(2)))
        let address = arguments[1]
        let database: any Database =
            PostgresConfiguration.isAddress(address)
            ? PostgresDatabase(PostgresConfiguration(address: Secret(address)))
            : try SQLiteDatabase(path: address)
        let store = try await Store.open(database)
        switch arguments[0] {
        case "fill": try await fill(store, options)
        case "open": try await open(store, options)
        default: throw BenchmarkError.badArgument(arguments[0])
        }
        try await database.close()
    }

    private static func fill(_ store: Store, _ options: VectorOptions) async throws {
        let data = try VectorData(options)
        var random = SplitMix(state: 3)
        let vectors = (0..<count).map { place -> [Float] in
            let vector = data.base[place % data.base.count]
            guard place >= data.base.count else { return vector }
            let noisy = vector.map { $0 + Float.random(in: -0.02...0.02, using: &random) }
            let norm = VectorData.dot(noisy, noisy).squareRoot()
            return noisy.map { $0 / norm }
        }
        let world = try await BackendsWorld(filling: store, with: vectors, leaving: feed)
        let index = try await SearchIndex(
            store: store,
            identity: world.identity,
            model: world.model.id,
            directory: options.scratchDirectory,
            role: .writer
        )
        try await index.rebuild()
        try await world.write(Array(vectors.suffix(feed)), from: count - feed)
    }

    private static func open(_ store: Store, _ options: VectorOptions) async throws {
        let models = try await store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
        }
        guard let model = models.first else { throw BenchmarkError.incomplete("run `fill` first") }
        let before = Measuring.residentBytes()
        let start = ContinuousClock.now
        let index = try await SearchIndex(
            store: store,
            identity: ModelIdentity(model),
            model: model.id,
            directory: options.scratchDirectory,
            role: .writer
        )
        let opened = start.duration(to: .now) / .seconds(1)
        let view = try await index.view()
        let followed = start.duration(to: .now) / .seconds(1)
        var line = MeasurementLine("replica", options, count: view.count)
        line.add("open_seconds", opened)
        line.add("ready_seconds", followed)
        line.add("feed_rows", feed)
        line.add("resident_mb", Double(Measuring.residentBytes()) / 1e6)
        line.add("resident_before_mb", Double(before) / 1e6)
        let queries = try VectorData(options).queries
        let searching = ContinuousClock.now
        for query in queries { _ = view.search(query, count: 10) }
        line.add(
            "searches_per_second",
            Double(queries.count) / (searching.duration(to: .now) / .seconds(1))
        )
        line.print()
    }
}
