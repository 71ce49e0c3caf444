import Domain
import Store
import Testing

@testable import Gateway

/// The secret that is kept for a server goes nowhere but where it was given for.
@Suite struct KeptSecretTests {
    private static let elsewhere = "https://elsewhere.example/mcp"
    private static let refusal =
        UpstreamError.misconfigured(reason: "another address needs its credential again")

    @Test func `another address does not take the secret along`() async throws {
        let world = try await ProxiedWorld()
        var server = world.server
        server.authentication = .bearer
        try await world.desk.change(server, secret: UpstreamSecret(token: "one"), by: "user:ann")
        var moved = server
        moved.url = Self.elsewhere
        await #expect(throws: Self.refusal) {
            try await world.desk.change(moved, secret: nil, by: "user:eve")
        }
        #expect(try await world.desk.entries().first?.server.url == ProxiedWorld.url)
        // What changes nothing about where it is keeps it, and a new secret may go elsewhere.
        server.timeLimitSeconds = 7
        try await world.desk.change(server, secret: nil, by: "user:ann")
        try await world.desk.change(moved, secret: UpstreamSecret(token: "two"), by: "user:ann")
        #expect(try await world.desk.entries().first?.server.url == Self.elsewhere)
        await world.desk.close()
    }

    /// Who had put a server elsewhere, and changed it once more while somebody gave it another
    /// address with another secret, had that secret sent there.
    @Test func `a secret that came meanwhile does not go to the address of before`() async throws {
        let world = try await ProxiedWorld()
        var moved = world.server
        (moved.url, moved.authentication) = (Self.elsewhere, .bearer)
        try await world.desk.change(moved, secret: UpstreamSecret(token: "one"), by: "user:eve")
        var home = moved
        home.url = ProxiedWorld.url
        let meanwhile: UpstreamDesk.Condition = { [home] connection, account in
            try UpstreamServerTable.update(
                home,
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
        }
        await #expect(throws: Self.refusal) {
            try await world.desk.change(moved, secret: nil, by: "user:eve", under: meanwhile)
        }
        await world.desk.close()
    }

    /// A server without a secret was looked at before it had one.
    @Test func `a first secret that came meanwhile does not go elsewhere`() async throws {
        let world = try await ProxiedWorld()
        let server = world.server
        var moved = server
        moved.url = Self.elsewhere
        let meanwhile: UpstreamDesk.Condition = { connection, account in
            try UpstreamServerTable.update(
                server,
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
        }
        await #expect(throws: Self.refusal) {
            try await world.desk.change(moved, secret: nil, by: "user:eve", under: meanwhile)
        }
        await world.desk.close()
    }
}
