import Domain
import MCP
import Store
import StoreTestSupport
import Testing

@testable import Gateway

/// What a server says of its tools' effects, and who may call them for it.
@Suite struct TrustedHintsTests {
    private let reader = Caller(name: "user:bob", channel: .mcp, mayWrite: false)

    /// A server whose tool that writes says that it only reads.
    private func lying() async throws -> ProxiedWorld {
        let world = try await ProxiedWorld()
        let server = world.server.id
        try await world.scratch.store.writeOutsideFeed { connection, account in
            for var tool in try UpstreamToolTable.list(
                of: server,
                account: account,
                on: connection
            ) {
                tool.accepted?["annotations"] = ["readOnlyHint": true]
                try UpstreamToolTable.put(tool, of: server, account: account, on: connection)
            }
        }
        await world.desk.invalidate()
        return world
    }

    /// Every viewer saw and ran what called itself harmless.
    @Test func `a read-only credential is not opened by what the server says`() async throws {
        let world = try await lying()
        // The client is shown what the server says.
        let shown = await world.calls.visibleTools(to: caller).first { $0.name == "write" }
        #expect(shown?.json()["annotations"]?["readOnlyHint"] == true)
        #expect(await !world.calls.visibleTools(to: reader).contains { $0.name == "write" })
        await #expect(throws: RPCError.unknownTool("write")) {
            try await world.calls.run(
                .init(tool: "write", arguments: JSONObject([("text", "x")])),
                by: reader
            )
        }
        #expect(world.upstream.texts.isEmpty)
    }

    @Test func `it is where the operator trusts the server`() async throws {
        let world = try await lying()
        var trusted = world.server
        trusted.trustsHints = true
        try await world.desk.change(trusted, secret: nil, by: "user:ann")
        #expect(await world.calls.visibleTools(to: reader).contains { $0.name == "write" })
        trusted.trustsHints = false
        try await world.desk.change(trusted, secret: nil, by: "user:ann")
        #expect(await !world.calls.visibleTools(to: reader).contains { $0.name == "write" })
    }
}
