import Domain
import Store
import StoreTestSupport
import Testing
import VectorIndex

@testable import Search

/// What is kept of filters between revisions of the store.
struct FilterCacheTests {
    private func labelled(_ label: String) -> IssueFilter {
        var filter = IssueFilter()
        filter.labels = [label]
        return filter
    }

    private func put(_ number: Int, _ labels: [String], in world: World) async throws -> IssueID {
        try await world.put(number, "issue \(number)") { $0.labels = labels }
    }

    /// Changes a label past everything that draws a revision.
    private func relabel(_ issue: IssueID, _ label: String, in world: World) async throws {
        try await world.store.writeOutsideFeed { connection, account in
            _ = try connection.execute(
                """
                UPDATE issues SET labels = \(JSONValue([label]))
                WHERE account_id = \(account) AND id = \(issue)
                """
            )
        }
    }

    private func passing(
        _ filter: IssueFilter,
        _ cache: FilterCache,
        _ world: World
    ) async throws -> KeySet {
        try await cache.passing(filter, windowsOf: nil, in: world.store).issues
    }

    @Test func `a filter is asked once for one revision, and anew for the next`() async throws {
        let (world, cache) = (try await World(), FilterCache())
        let one = try await put(1, ["red"], in: world)
        let two = try await put(2, ["red"], in: world)
        let red = labelled("red")
        #expect(try await passing(red, cache, world) == [one.rawValue, two.rawValue])
        try await relabel(one, "blue", in: world)
        // As it was at this revision: nothing was read.
        #expect(try await passing(red, cache, world) == [one.rawValue, two.rawValue])
        #expect(cache.count == 1)
        let three = try await put(3, ["red"], in: world)
        #expect(try await passing(red, cache, world) == [two.rawValue, three.rawValue])
        try await world.delete(two)
        #expect(try await passing(red, cache, world) == [three.rawValue])
        #expect(cache.count == 1)
    }

    @Test func `filters are told apart, and whether windows were asked for`() async throws {
        let (world, cache) = (try await World(), FilterCache())
        let embedder = FakeEmbedder()
        let pipeline = try await world.pipeline(embedder)
        let one = try await put(1, ["red"], in: world)
        let two = try await put(2, ["blue"], in: world)
        _ = try await pipeline.drain()
        let model = pipeline.search.index.model
        #expect(try await passing(labelled("red"), cache, world) == [one.rawValue])
        #expect(try await passing(labelled("blue"), cache, world) == [two.rawValue])
        let found = try await cache.passing(labelled("red"), windowsOf: model, in: world.store)
        #expect(found.issues == [one.rawValue])
        #expect(found.windows?.count == 1)
        // That of windows answers for issues alone, too.
        #expect(try await passing(labelled("red"), cache, world) == [one.rawValue])
        #expect(cache.count == 3)
    }

    @Test func `names of projects are looked up each time`() async throws {
        let (world, cache) = (try await World(), FilterCache())
        let one = try await put(1, [], in: world)
        var filter = IssueFilter()
        filter.projects = ["ACME/app"]
        #expect(try await passing(filter, cache, world) == [one.rawValue])
        // A new name draws no revision.
        try await world.store.writeOutsideFeed { connection, account in
            _ = try connection.execute(
                "UPDATE projects SET path = \("acme/web") WHERE account_id = \(account)"
            )
        }
        #expect(try await passing(filter, cache, world).isEmpty)
        filter.projects = ["acme/web"]
        #expect(try await passing(filter, cache, world) == [one.rawValue])
        filter.trackers = ["another"]
        #expect(try await passing(filter, cache, world).isEmpty)
        #expect(cache.count == 1)
    }

    @Test func `names of too many projects to be looked up are not kept`() async throws {
        let (world, cache) = (try await World(), FilterCache())
        let one = try await put(1, [], in: world)
        let count = PassageTable.maximumResolved
        try await world.store.writeOutsideFeed { connection, account in
            var rows = SQLTable([.integer, .integer, .integer, .text])
            for number in 1...count {
                rows.append([
                    SQLValue(account), .integer(Int64(1_000_000 + number)),
                    SQLValue(world.tracker), .text("acme/\(number)"),
                ])
            }
            _ = try connection.execute(
                """
                WITH given (account_id, id, tracker_id, path) AS (\(rows: rows))
                INSERT INTO projects (account_id, id, tracker_id, organization_id, external_id,
                    path, name, url)
                SELECT account_id, id, tracker_id, 1, path, path, path, path FROM given
                WHERE TRUE
                """
            )
        }
        var filter = IssueFilter()
        filter.trackers = ["hub"]
        #expect(try await passing(filter, cache, world) == [one.rawValue])
        try await world.store.writeOutsideFeed { connection, account in
            _ = try connection.execute(
                "UPDATE trackers SET name = 'other' WHERE account_id = \(account)"
            )
        }
        #expect(try await passing(filter, cache, world).isEmpty)
        #expect(cache.count == 0)
    }

    @Test func `no more filters are kept than there is room for`() async throws {
        let (world, cache) = (try await World(), FilterCache())
        let one = try await put(1, ["red"], in: world)
        for number in 0..<FilterCache.maximumCount {
            _ = try await passing(labelled("\(number)"), cache, world)
        }
        _ = try await passing(labelled("0"), cache, world)
        #expect(try await passing(labelled("red"), cache, world) == [one.rawValue])
        #expect(cache.count == FilterCache.maximumCount)
        // The one that was used last is still there.
        try await relabel(one, "0", in: world)
        #expect(try await passing(labelled("0"), cache, world).isEmpty)
        #expect(try await passing(labelled("1"), cache, world).isEmpty)
    }
}
