import Domain
import HTTPTypes
import Logging
import Store
import StoreTestSupport
import Testing

@testable import API

/// What becomes of a request with an `Idempotency-Key` when something goes wrong around it.
@Suite struct IdempotencyTests {
    private let records = LogRecords()

    private func server() async throws -> (RunningServer, Idempotency, APIRequest) {
        var setup = RunningServer.Setup()
        setup.records = records
        let server = try await RunningServer(setup)
        let ann = try await server.add("ann", .owner)
        var request = APIRequest(
            id: "r1",
            method: .post,
            path: "/",
            query: QueryItems(""),
            headers: [.idempotencyKey: "k1"],
            peer: "test"
        )
        request.principal = Principal(
            account: server.scratch.store.account,
            user: ann.id,
            name: ann.name,
            role: ann.role,
            credential: .session(SessionID(1))
        )
        return (server, server.application.responder.idempotency, request)
    }

    /// It was lost: a client that came back with the key was told that nobody knew.
    @Test func `the answer to a client that has gone is kept for when it comes back`()
        async throws
    {
        let (server, idempotency, request) = try await server()
        let begun = Gate()
        let first = Task {
            try await idempotency.answer(request) { _ in
                begun.open()
                // Until the client is gone; what was done stays done.
                try? await Task.sleep(for: .seconds(60))
                return .json(["done": true])
            }
        }
        try await begun.pass()
        first.cancel()
        let answer = try await first.value
        #expect(answer.status == .ok)
        let second = try await idempotency.answer(request) { _ in .noContent }
        #expect(second.status == .ok && second.body == answer.body)
        #expect(second.headers[.idempotentReplayed] == "true")
        try await server.stop()
    }

    /// It was a 503 with `Retry-After`, which says that nothing was done.
    @Test func `what was done is told also where the answer cannot be kept`() async throws {
        let (server, idempotency, request) = try await server()
        let database = server.scratch.store.database
        let answer = try await idempotency.answer(request) { _ in
            try await database.close()
            return .json(["done": true])
        }
        #expect(answer.status == .ok)
        let line = try #require(records.lines("an answer could not be kept").first)
        #expect(line.level == .error && line.metadata["request_id"] == "r1")
        try await server.stop()
    }

    /// The answer said that the log had the reason, and the log had none.
    @Test func `the log says why a request with a key failed`() async throws {
        struct Failure: Error, CustomStringConvertible {
            let description = "the disk is on fire"
        }
        let (server, idempotency, request) = try await server()
        let answer = try await idempotency.answer(request) { _ in throw Failure() }
        #expect(answer.status == .internalServerError)
        #expect(!String(decoding: answer.body, as: UTF8.self).contains("fire"))
        let line = try #require(records.lines("request failed").first)
        #expect(line.metadata["reason"] == "the disk is on fire")
        #expect(line.level == .error && line.metadata["request_id"] == "r1")
        try await server.stop()
    }
}
