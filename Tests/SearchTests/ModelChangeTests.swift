import Domain
import Embeddings
import Foundation
import Glibc
import Store
import Testing

@testable import Search

/// Two hosts with different models dropped each other's vectors, and embedded everything again at
/// every scan.
struct ModelChangeTests {
    private static let first = FakeEmbedder(name: "first")
    private static let second = FakeEmbedder(name: "second", dimension: 32)

    /// A process of a machine that is not this one.
    private static let elsewhere = LeaseHolder(
        host: "host-b",
        bootID: "another-boot",
        namespace: "pid:[1]",
        processID: 7,
        startTicks: 1
    )

    private func current(_ world: World) async throws -> [String] {
        try await world.store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
                .filter(\.isCurrent).map(\.name)
        }
    }

    @Test func `another host's model is not replaced, and both are named`() async throws {
        let world = try await World()
        try await world.put(1, "one", "two")
        _ = try await world.pipeline(Self.first).drain()
        let error = await #expect(throws: SearchError.self) {
            _ = try await Indexer.registerModel(
                of: Self.second,
                in: world.store,
                as: Self.elsewhere
            )
        }
        let text = "\(try #require(error))"
        #expect(text.contains("`first` (revision 1, 48 numbers)"))
        #expect(text.contains("`second` (revision 1, 32 numbers)"))
        #expect(text.contains("process \(getpid()) on "))
        #expect(error?.hint?.contains("`preloop index rebuild`") == true)
        #expect(try await current(world) == ["first"])
        // Nothing is embedded again, and nothing dropped.
        let report = try await world.pipeline(Self.first).drain()
        #expect(report.embedded == 0 && report.dropped == 0)
        #expect(try await world.pipeline(Self.first).verify().isSound)
    }

    @Test func `who means it replaces the model, and the others are refused from then on`()
        async throws
    {
        let world = try await World()
        _ = try await world.pipeline(Self.first).drain()
        _ = try await Indexer.registerModel(
            of: Self.second,
            in: world.store,
            replacing: true,
            as: Self.elsewhere
        )
        #expect(try await current(world) == ["second"])
        await #expect(throws: SearchError.self) { _ = try await world.pipeline(Self.first) }
        // With the same model everybody indexes.
        _ = try await world.pipeline(Self.second).drain()
        #expect(try await current(world) == ["second"])
    }

    @Test func `a model that nobody has used for a day gives way`() async throws {
        let world = try await World()
        let model = try await Indexer.registerModel(
            of: Self.first,
            in: world.store,
            as: Self.elsewhere
        )
        await #expect(throws: SearchError.self) { _ = try await world.pipeline(Self.second) }
        try await world.store.writeOutsideFeed { connection, account in
            try LeaseTable.note(
                Indexer.noteName(of: model),
                by: Self.elsewhere,
                until: WallClock.system.now(),
                account: account,
                on: connection
            )
        }
        _ = try await world.pipeline(Self.second).drain()
        #expect(try await current(world) == ["second"])
    }

    @Test func `on one machine only a process that still runs keeps the model`() throws {
        let own = LeaseHolder.current()
        #expect(!Indexer.mayStillUse(own, asSeenBy: own))
        #expect(!Indexer.mayStillUse(.task(), asSeenBy: own))
        var gone = own
        gone.processID = 999_999_999
        #expect(!Indexer.mayStillUse(gone, asSeenBy: own))
        // A container that was replaced, and a machine that was started again.
        var contained = own
        contained.host = "0123456789ab"
        contained.namespace = "pid:[2]"
        #expect(!Indexer.mayStillUse(contained, asSeenBy: own))
        var earlier = own
        earlier.bootID = "an-earlier-boot"
        #expect(!Indexer.mayStillUse(earlier, asSeenBy: own))
        #expect(Indexer.mayStillUse(Self.elsewhere, asSeenBy: own))
        var parent = own
        parent.processID = getppid()
        parent.startTicks = try startTicks(of: parent.processID)
        #expect(Indexer.mayStillUse(parent, asSeenBy: own))
    }

    /// Field 22 of proc_pid_stat(5); the second one, in brackets, may hold spaces.
    private func startTicks(of process: Int32) throws -> Int64 {
        let line = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        let end = try #require(line.lastIndex(of: ")"))
        let fields = line[line.index(after: end)...].split(separator: " ")
        return try #require(Int64(fields[19]))
    }
}
