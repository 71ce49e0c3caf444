import Domain
import Store
import StoreTestSupport
import Testing

/// Upstream servers and their tools, on both engines.
@Suite struct UpstreamTableTests {
    private func server(_ name: String, _ id: Int64) -> UpstreamServer {
        var server = UpstreamServer(
            id: UpstreamServerID(id),
            name: name,
            transport: .stdio,
            command: ["program", "--word", "a \"quoted\" one"],
            createdAt: Timestamp(milliseconds: 1_000)
        )
        server.prefix = .always
        server.holdsNewTools = false
        server.trustsHints = name == "a"
        server.timeLimitSeconds = 30
        return server
    }

    @Test(arguments: Engine.all)
    func `a server is as it was stored, and its name is its own`(_ engine: Engine) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        let (first, second) = (server("b", 1), server("a", 2))
        try await store.write { connection, account in
            for server in [first, second] {
                try UpstreamServerTable.insert(
                    server,
                    credential: server.name == "a" ? SealedSecret(bytes: [1, 2, 3]) : nil,
                    account: account,
                    on: connection
                )
            }
        }
        let (list, secrets) = try await store.read { connection, account in
            let list = try UpstreamServerTable.list(account: account, on: connection)
            return (
                list,
                try list.map {
                    try UpstreamServerTable.credential(of: $0.id, account: account, on: connection)
                }
            )
        }
        #expect(list == [second, first])
        #expect(secrets == [SealedSecret(bytes: [1, 2, 3]), nil])
        await #expect(throws: StoreError.self) {
            try await store.write { connection, account in
                var twice = first
                twice.id = UpstreamServerID(3)
                try UpstreamServerTable.insert(
                    twice,
                    credential: nil,
                    account: account,
                    on: connection
                )
            }
        }
        let changed = try await store.write { connection, account in
            var changed = second
            changed.name = "c"
            changed.prefix = .never
            changed.timeLimitSeconds = 5
            try UpstreamServerTable.update(
                changed,
                credential: nil,
                account: account,
                on: connection
            )
            try UpstreamServerTable.setScanned(
                changed.id,
                at: Timestamp(milliseconds: 2_000),
                error: "it is gone",
                account: account,
                on: connection
            )
            try UpstreamServerTable.setLookedAt(changed.id, account: account, on: connection)
            return try UpstreamServerTable.find(name: "c", account: account, on: connection)
        }
        #expect(changed?.status == .error && changed?.lastError == "it is gone")
        #expect(changed?.lastScanAt == Timestamp(milliseconds: 2_000))
        #expect(changed?.timeLimitSeconds == 5 && changed?.awaitsFirstScan == false)
        // What was not given anew stays.
        let kept = try await store.read { connection, account in
            try UpstreamServerTable.credential(of: second.id, account: account, on: connection)
        }
        #expect(kept == SealedSecret(bytes: [1, 2, 3]))
    }

    /// What was there before the step is not looked at as if it were new.
    @Test(arguments: Engine.all)
    func `a server of an older schema awaits no first scan`(_ engine: Engine) async throws {
        let scratch = try engine.database()
        let database = try scratch.connect()
        try await Migrator(migrations: Array(Migration.all.prefix(10))).migrate(database)
        let account = AccountTable.defaultID
        _ = try await database.write { connection in
            try connection.execute(
                """
                INSERT INTO upstream_servers
                    (account_id, id, name, transport, url, command, auth_type, auth_header,
                        credential, prefix_mode, holds_new_tools, status, created_at)
                VALUES
                    (\(account), 1, 'old', 'stdio', '', '["program"]', 'none', 'X-API-Key',
                        \([UInt8]()), 'always', TRUE, 'active', \(Timestamp(milliseconds: 1)))
                """
            )
        }
        try await Migrator().migrate(database)
        let server = try await database.read { connection in
            try UpstreamServerTable.find(name: "old", account: account, on: connection)
        }
        #expect(server?.awaitsFirstScan == false)
        #expect(server?.timeLimitSeconds == UpstreamServer.longestTimeLimitSeconds)
    }

    @Test(arguments: Engine.all)
    func `definitions come back whole, and one that was changed outside does not`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        let server = server("a", 1)
        let definition = try #require(
            try JSONParser.parse(
                #"{"name":"a/b","x":[null,1.5,"\u0000é"],"inputSchema":{}}"#
            ).object
        )
        let tool = UpstreamTool(
            name: "a/b",
            accepted: definition,
            proposed: nil,
            state: .accepted,
            flags: ["comments"],
            seenAt: Timestamp(milliseconds: 3_000)
        )
        try await store.write { connection, account in
            try UpstreamServerTable.insert(
                server,
                credential: nil,
                account: account,
                on: connection
            )
            try UpstreamToolTable.put(tool, of: server.id, account: account, on: connection)
        }
        @Sendable func list() async throws -> [UpstreamTool] {
            try await store.read { connection, account in
                try UpstreamToolTable.list(of: server.id, account: account, on: connection)
            }
        }
        #expect(try await list() == [tool])
        _ = try await store.write { connection, account in
            try connection.execute(
                """
                UPDATE upstream_tools SET definition = '{"name":"a/b"}'
                WHERE account_id = \(account) AND server_id = \(server.id)
                """
            )
        }
        await #expect(throws: StoreError.self) { try await list() }
        try await store.write { connection, account in
            try UpstreamServerTable.remove(server.id, account: account, on: connection)
        }
        #expect(try await list().isEmpty)
    }
}
