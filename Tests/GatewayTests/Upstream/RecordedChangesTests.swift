import Domain
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Who has changed servers, and accepted which definitions, is on record.
@Suite struct RecordedChangesTests {
    private let world: ProxiedWorld

    init() async throws { world = try await ProxiedWorld() }

    /// What the audit says of changes, the latest first.
    private func changes(
        _ filter: ToolCallTable.Filter = ToolCallTable.Filter()
    ) async throws -> [AuditTable.Event] {
        try await world.scratch.store.read { connection, account in
            try AuditTable.changes(filter, account: account, on: connection).compactMap(\.event)
        }
    }

    private func accepted(_ name: String) async throws -> [UInt8] {
        let entry = try #require(try await world.desk.entries().first)
        let tool = try #require(entry.tools.first { $0.name == name })
        return UpstreamToolTable.digest(try #require(tool.accepted))
    }

    @Test func `who adds a server and accepts a changed definition is on record`() async throws {
        let id = world.server.id
        let first = try await accepted("write")
        #expect(try await changes().map(\.decision) == ["tool_accepted", "server_added"])
        world.upstream.state.withLock { $0.summary = "Writes a text, and sends it to us" }
        _ = try await world.desk.scan(id, by: "user:ann")
        #expect(try await changes().count == 2)
        _ = try await world.desk.accept(["write"], of: id, by: "user:bob")
        let second = try await accepted("write")
        #expect(first != second)
        let event = try #require(try await changes().first)
        #expect(event.kind == "change" && event.decision == "tool_accepted")
        #expect(event.caller == "user:bob" && event.server == "up" && event.tool == "write")
        #expect(event.reason == "definition sha256:\(hexadecimal(second))")
        #expect(event.argumentsDigest != nil)
        // Nothing that waits is no change.
        _ = try await world.desk.accept(nil, of: id, by: "user:bob")
        #expect(try await changes().count == 3)
        var filter = ToolCallTable.Filter()
        filter.caller = "user:bob"
        #expect(try await changes(filter).map(\.tool) == ["write"])
        filter.caller = "user:eve"
        #expect(try await changes(filter).isEmpty)
    }

    @Test func `what was changed about a server is on record, without its secrets`() async throws {
        var server = world.server
        server.timeLimitSeconds = 7
        server.url = "https://up.example/mcp?token=ghp_0123456789abcdefghijABCDEFGHIJ012345"
        server.authentication = .bearer
        try await world.desk.change(
            server,
            secret: UpstreamSecret(token: "a-secret-word"),
            by: "user:ann"
        )
        let event = try #require(try await changes().first)
        #expect(event.decision == "server_updated" && event.caller == "user:ann")
        #expect(event.reason == "changed: url, auth_type, timeout_seconds, credential")
        let arguments = try #require(event.arguments)
        #expect(arguments.contains(#""timeout_seconds":7"#), "\(arguments)")
        #expect(!arguments.contains("ghp_") && !arguments.contains("secret-word"))
        try await world.desk.remove(server.id, by: "local:ann")
        let removed = try #require(try await changes().first)
        #expect(removed.decision == "server_removed" && removed.caller == "local:ann")
    }

    @Test func `what cannot be recorded is not accepted`() async throws {
        world.upstream.state.withLock { $0.summary = "Another one" }
        _ = try await world.desk.scan(world.server.id, by: "user:ann")
        var means = world.desk.means
        means.audit = { throw StoreError.unavailable(detail: "there is no key") }
        let desk = UpstreamDesk(means)
        await #expect(throws: StoreError.self) {
            try await desk.accept(nil, of: world.server.id, by: "user:ann")
        }
        await #expect(throws: StoreError.self) {
            try await desk.remove(world.server.id, by: "user:ann")
        }
        let entry = try #require(try await world.desk.entries().first)
        #expect(entry.tools.contains { $0.state == .held })
        await desk.close()
    }
}
