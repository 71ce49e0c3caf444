import Domain
import Firewall
import Store
import StoreTestSupport
import Testing

@testable import Gateway

/// What somebody who can write into the database may try.
struct AuditTamperingTests {
    private static let count: Int64 = 60
    private static let other = AccountID(2)

    /// What undoes a transaction, with what was found in it.
    private struct Undone: Error {
        var faults: [AuditFault]
        var foreign: [AuditFault]
    }

    private enum Tampering: CaseIterable {
        case flip, delete, reorder, insert, truncate, swapAccounts, copyAccounts, rewrite, forgeEnd
    }

    private static let texts = [
        "kind", "caller", "channel", "tool", "decision", "outcome", "reason", "arguments",
        "findings", "client", "rule", "call_id", "server", "session", "approval_id",
    ]
    private static let numbers = ["result_bytes", "duration_us", "policy_version"]
    private static let blobs = ["hash", "arguments_digest", "result_digest"]

    private static func store(_ engine: Engine) async throws -> (ScratchStore, Store, AuditKeys) {
        let scratch = try await engine.store()
        try await scratch.store.database.write { connection in
            try AccountTable.create(
                Self.other,
                name: "other",
                createdAt: AuditTests.start,
                on: connection
            )
        }
        let foreign = scratch.store.viewed(by: other)
        let keys = try AuditKeys.testing(scratch.store.account)
        for store in [scratch.store, foreign] {
            let writer = AuditWriter(keys, markInterval: 7)
            try await store.write { connection, account in
                let events = (1...Self.count).map { number in
                    var event = AuditTable.Event(.call, at: AuditTests.start, caller: "ann")
                    event.callID = "\(number)"
                    event.tool = number.isMultiple(of: 2) ? "search" : nil
                    event.arguments = #"{"n":\#(number)}"#
                    event.argumentsDigest = [UInt8(truncatingIfNeeded: number)]
                    return event
                }
                try writer.append(events, at: AuditTests.start, account: account, on: connection)
            }
        }
        return (scratch, foreign, keys)
    }

    /// Does something to the rows; gives the numbers that are concerned.
    private static func tamper(
        _ kind: Tampering,
        _ random: inout SystemRandomNumberGenerator,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> (what: String, range: ClosedRange<Int64>) {
        let place = Int64.random(in: 1...count, using: &random)
        func run(_ text: String) throws { try connection.execute(SQL(stringLiteral: text)) }
        let at = "account_id = \(account) AND sequence ="
        let behind = "account_id = \(account) AND sequence"
        let there = "account_id = \(other) AND sequence ="
        switch kind {
        case .flip: return try flip(place, &random, account, connection)
        case .delete:
            try run("DELETE FROM audit_events WHERE \(at) \(place)")
            return ("delete", place...place)
        case .reorder:
            let second = place % count + 1
            try run("UPDATE audit_events SET sequence = -1 WHERE \(at) \(place)")
            try run("UPDATE audit_events SET sequence = \(place) WHERE \(at) \(second)")
            try run("UPDATE audit_events SET sequence = \(second) WHERE \(at) -1")
            return ("reorder", min(place, second)...min(place, second))
        case .insert:
            // Room is made, and a copy of another row with a hash of its own goes there.
            try run(
                "UPDATE audit_events SET sequence = -1 - sequence WHERE \(behind) > \(place)"
            )
            try run(
                "UPDATE audit_events SET sequence = -sequence WHERE \(behind) < 0"
            )
            try run(
                """
                INSERT INTO audit_events (account_id, sequence, kind, happened_at, caller, hash)
                SELECT account_id, \(place) + 1, kind, happened_at, 'eve', hash
                FROM audit_events WHERE \(at) \(place)
                """
            )
            return ("insert", place + 1...place + 1)
        case .truncate:
            try run(
                "DELETE FROM audit_events WHERE account_id = \(account) AND sequence >= \(place)"
            )
            return ("truncate", place...place)
        case .swapAccounts:
            try run("UPDATE audit_events SET account_id = 99 WHERE \(at) \(place)")
            try run(
                "UPDATE audit_events SET account_id = \(account) WHERE \(there) \(place)"
            )
            try run(
                "UPDATE audit_events SET account_id = \(other) WHERE account_id = 99"
            )
            return ("swap", place...place)
        case .copyAccounts:
            try run("DELETE FROM audit_events WHERE \(at) \(place)")
            try run(
                "UPDATE audit_events SET account_id = \(account) WHERE \(there) \(place)"
            )
            return ("move", place...place)
        case .rewrite, .forgeEnd:
            try run("UPDATE audit_events SET caller = 'eve' WHERE \(at) \(place)")
            let end = try rehash(account, connection)
            if kind == .forgeEnd {
                try run("DELETE FROM audit_checkpoints WHERE account_id = \(account)")
                try connection.execute(
                    "UPDATE audit_chains SET hash = \(end.hash) WHERE account_id = \(account)"
                )
            }
            return ("\(kind)", place...place)
        }
    }

    /// Changes one value of one event.
    private static func flip(
        _ place: Int64,
        _ random: inout SystemRandomNumberGenerator,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> (what: String, range: ClosedRange<Int64>) {
        var column = texts.randomElement(using: &random) ?? ""
        let value: SQL
        switch Int.random(in: 0..<4, using: &random) {
        case 0: value = "COALESCE(\(SQL(stringLiteral: column)), '') || 'x'"
        case 1:
            column = numbers.randomElement(using: &random) ?? ""
            value = "COALESCE(\(SQL(stringLiteral: column)), 0) + 1"
        case 2:
            column = blobs.randomElement(using: &random) ?? ""
            value = "\([1, 2] as [UInt8])"
        default:
            column = "happened_at"
            value = "\(AuditTests.start.advanced(by: .milliseconds(1)))"
        }
        try connection.execute(
            """
            UPDATE audit_events SET \(SQL(stringLiteral: column)) = \(value)
            WHERE account_id = \(account) AND sequence = \(place)
            """
        )
        return (column, place...place)
    }

    /// Makes all hashes anew, as everybody can.
    private static func rehash(
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> AuditChain.Point {
        var chain = AuditChain(account: account)
        for row in try AuditTable.rows(after: 0, limit: 1_000, account: account, on: connection) {
            let event = try #require(row.event)
            let hash = chain.append(event.entry(account: account, sequence: row.sequence))
            try connection.execute(
                """
                UPDATE audit_events SET hash = \(hash)
                WHERE account_id = \(account) AND sequence = \(row.sequence)
                """
            )
        }
        return chain.end
    }

    @Test(arguments: Engine.all)
    func `a thousand ways to change the record are found, each in its place`(
        _ engine: Engine
    ) async throws {
        let (scratch, foreign, keys) = try await Self.store(engine)
        let key = keys.publicKey
        for round in 0..<1_000 {
            let kind = Tampering.allCases[round % Tampering.allCases.count]
            do {
                try await scratch.store.write { connection, account in
                    var random = SystemRandomNumberGenerator()
                    let done = try Self.tamper(kind, &random, account, connection)
                    let report = try AuditLog.verify(key: key, account: account, on: connection)
                    let other = try AuditLog.verify(key: key, account: Self.other, on: connection)
                    let isFound = report.faults.contains { $0.range.overlaps(done.range) }
                    #expect(isFound, "\(round) \(kind) \(done): \(report.faults)")
                    #expect(
                        report.faults.first.map { $0.range.lowerBound <= done.range.lowerBound }
                            == true,
                        "\(round) \(kind) \(done): \(report.faults)"
                    )
                    throw Undone(faults: report.faults, foreign: other.faults)
                }
            } catch let undone as Undone {
                #expect(!undone.faults.isEmpty)
                let concernsOther = kind == .swapAccounts || kind == .copyAccounts
                #expect(undone.foreign.isEmpty != concernsOther, "\(kind)")
            }
        }
        for store in [scratch.store, foreign] {
            let report = try await AuditLog(store: store, key: key).verify()
            #expect(report.isSound && report.count == Int(Self.count))
        }
    }

    /// SQLite takes a value of any type in any column.
    @Test func `a value of another type is found too`() async throws {
        let (scratch, _, keys) = try await Self.store(.sqlite)
        for change in ["happened_at = 'x'", "caller = 5", "hash = 7", "result_bytes = 'x'"] {
            let change = "UPDATE audit_events SET \(change) WHERE account_id = 1 AND sequence = 9"
            do {
                try await scratch.store.write { connection, account in
                    try connection.execute(SQL(stringLiteral: change))
                    let report = try AuditLog.verify(
                        key: keys.publicKey,
                        account: account,
                        on: connection
                    )
                    throw Undone(faults: report.faults, foreign: [])
                }
            } catch let undone as Undone {
                #expect(undone.faults.first?.range == 9...9, "\(change)")
            }
        }
    }

    @Test func `a hundred thousand events are verified`() async throws {
        let store = try await Engine.current.store().store
        let keys = try AuditKeys.testing(store.account)
        let writer = AuditWriter(keys)
        let clock = ContinuousClock()
        var begin = clock.now
        for batch in 0..<100 {
            try await store.write { connection, account in
                let events = (0..<1_000).map { number in
                    var event = AuditTable.Event(.call, at: AuditTests.start, caller: "user:ann")
                    event.callID = "018f\(batch)-\(number)"
                    (event.tool, event.channel) = ("create_issue", "mcp")
                    (event.decision, event.outcome) = ("allow", "running")
                    event.arguments = #"{"project":"acme/app","title":"a title of some words"}"#
                    event.argumentsDigest = [UInt8](repeating: 7, count: 32)
                    return event
                }
                try writer.append(events, at: AuditTests.start, account: account, on: connection)
            }
        }
        let written = begin.duration(to: clock.now)
        begin = clock.now
        let report = try await AuditLog(store: store, key: keys.publicKey).verify()
        print("100,000 events: written in \(written), verified in \(begin.duration(to: clock.now))")
        #expect(report.isSound && report.count == 100_000)
    }
}
