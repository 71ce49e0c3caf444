import Domain
import Store
import StoreTestSupport
import Testing

struct ToolCallTableTests {
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)

    private func call(_ id: String, at instant: Timestamp = start) -> ToolCallTable.Call {
        ToolCallTable.Call(
            id: id,
            tool: "search",
            caller: "local:ann",
            channel: "stdio",
            argumentsDigest: [0, 1, 255],
            startedAt: instant
        )
    }

    @Test(arguments: Engine.all)
    func `a call is read as it was written, and again when it has ended`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        var first = call("a")
        first.decision = .allow
        first.client = "client 1.0"
        first.traceParent = "00-x"
        var second = call("b", at: Self.start.advanced(by: .seconds(1)))
        second.decision = .deny
        second.reason = "no"
        second.outcome = .denied
        second.end = ToolCallTable.End(
            endedAt: second.startedAt,
            duration: .zero,
            resultBytes: 3
        )
        let (one, other) = (first, second)
        try await scratch.store.write { connection, account in
            try ToolCallTable.insert(one, account: account, on: connection)
            try ToolCallTable.insert(other, account: account, on: connection)
        }
        let end = ToolCallTable.End(
            endedAt: Self.start.advanced(by: .seconds(2)),
            duration: .microseconds(1_234_567),
            resultBytes: 9
        )
        let written = try await scratch.store.write { connection, account in
            let before = try ToolCallTable.list(limit: 10, account: account, on: connection)
            try ToolCallTable.complete(
                "a",
                .succeeded,
                end,
                account: account,
                on: connection
            )
            return before
        }
        #expect(written == [second, first])
        let after = try await scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 10, account: account, on: connection)
        }
        first.outcome = .succeeded
        first.end = end
        #expect(after == [second, first])
    }

    @Test(arguments: Engine.all)
    func `an identifier is used once`(_ engine: Engine) async throws {
        let scratch = try await engine.store()
        let call = call("a")
        await #expect(throws: StoreError.self) {
            try await scratch.store.write { connection, account in
                try ToolCallTable.insert(call, account: account, on: connection)
                try ToolCallTable.insert(call, account: account, on: connection)
            }
        }
        let left = try await scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 10, account: account, on: connection)
        }
        #expect(left.isEmpty)
    }
}
