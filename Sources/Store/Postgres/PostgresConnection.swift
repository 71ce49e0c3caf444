import Domain
import Foundation

/// Runs ``SQL`` on one PostgreSQL connection inside a transaction.
final class PostgresConnection: SQLConnection {
    /// What a statement takes on SQLite: what works on one engine works on the other.
    static let maximumBinds = 32_766
    /// Rows of one message: arrays of a few thousand are as fast as longer ones.
    private static let maximumRows = 2_000
    /// And their bytes, of which both sides hold a copy.
    private static let maximumTableBytes = 32_000_000
    /// Bytes on their way at once: as many are encoded, and held by libpq, before the server has
    /// answered them.
    private static let maximumPipelineBytes = 32_000_000
    /// Longer than anything that is let take its time: that a peer is gone is noticed by its
    /// silence below, within a minute.
    static let longestAnswer = Duration.seconds(7 * 86_400)
    /// How long a server that was asked to stop may take.
    private static let cancelTime = Duration.seconds(5)

    private let configuration: PostgresConfiguration
    private let handle: PostgresHandle
    private var statements = PostgresStatements()
    /// Whether it keeps statements under names.
    let usesNames: Bool
    /// Whether the transaction does: one that takes its time must not have to begin anew because a
    /// pooler's session has a name already, and spends next to nothing on planning.
    private var namesAreOff = false
    /// How long the answer to one statement may take.
    private var answerLimit: Duration
    /// Notifications that came between the answers to statements.
    private var notified = 0
    /// Since when the server may keep plans of prepared statements.
    private var plannedAt = ContinuousClock.now
    /// How long they may be kept this time; longer and longer, as a table that is filled grows less
    /// and less in proportion.
    private var planLifetime: Duration
    /// How much longer at most than in the beginning.
    private static let planLifetimeGrowth = 32
    /// Whether the next transaction has the statements planned anew.
    private var plansAreOld = false
    /// Set while a transaction can be interrupted.
    private var interrupt: PostgresInterrupt?
    /// What begins the transaction, until its first statement is sent together with it: BEGIN alone
    /// was one of the three round trips of a short transaction.
    private var opening: [SQL] = []
    /// What a transaction that may write is known by, with the answer to its first statement.
    private(set) var token: Token?
    /// The mark that the transaction writes; nil where it writes none.
    private var mark: TransactionMarkTable.Mark?
    private var lastMark: TransactionMarkTable.Mark
    /// What is known of the table for marks, by all connections.
    private var marks: PostgresMarks?
    /// The first failure of the transaction: whatever its body made of it, nothing can be committed
    /// any more.
    private(set) var failure: PostgresFailure?

    let dialect = SQLDialect.postgres

    init(
        _ configuration: PostgresConfiguration,
        usesNames: Bool,
        interrupt: PostgresInterrupt?
    ) throws(PostgresFailure) {
        self.configuration = configuration
        self.usesNames = usesNames
        answerLimit = configuration.statementTimeout + configuration.graceTime
        planLifetime = configuration.planLifetime
        lastMark = TransactionMarkTable.Mark(session: UUID().uuidString, number: 0)
        handle = try PostgresHandle(configuration, interrupt: interrupt)
    }

    /// Whether another transaction may run on the connection.
    var isUsable: Bool { !handle.isBroken && failure == nil }

    /// Whether the next transaction is better run on a new one.
    var isWornOut: Bool { statements.areMany }

    // MARK: Statements

    func rows(_ statement: SQL) throws(StoreError) -> [SQLRow] {
        precondition(statement.table == nil, "one outcome a statement")
        return try run([statement])[0].rows
    }

    func rows(batch statements: [SQL]) throws(StoreError) -> [[SQLRow]] {
        precondition(statements.allSatisfy { $0.table == nil }, "one outcome a statement")
        guard !statements.isEmpty else { return [] }
        return try run(statements).map(\.rows)
    }

    func execute(_ statement: SQL) throws(StoreError) -> Int {
        if let table = statement.table, table.isEmpty { return 0 }
        return try run([statement]).reduce(0) { $0 + $1.changed }
    }

    func execute(batch statements: [SQL]) throws(StoreError) {
        guard !statements.isEmpty else { return }
        _ = try run(statements.filter { !($0.table?.isEmpty ?? false) })
    }

    func liftLimits() throws(StoreError) {
        namesAreOff = true
        _ = try rows(
            """
            SELECT set_config('statement_timeout', '0', true) AS statements,
                set_config('idle_in_transaction_session_timeout', '0', true) AS pauses
            """
        )
        answerLimit = Self.longestAnswer
    }

    /// What a statement gave.
    private struct Outcome {
        var rows: [SQLRow] = []
        var changed = 0
        var tag = ""
    }

    private func run(_ statements: [SQL]) throws(StoreError) -> [Outcome] {
        do throws(PostgresFailure) {
            return try answers(toNext: statements)
        } catch {
            if failure == nil { failure = error }
            throw error.storeError(isCancelled: interrupt?.isRequested ?? false)
        }
    }

    /// Runs statements, behind what begins the transaction when they are its first.
    private func answers(toNext statements: [SQL]) throws(PostgresFailure) -> [Outcome] {
        let first = opening
        let outcomes = try exchange(first + statements)
        // INVARIANT: nothing is sent without BEGIN before it, not even by a body that goes on after
        // a failure: until BEGIN is answered, it is sent again.
        if !outcomes.answered.isEmpty { opening = [] }
        if let refusal = outcomes.refusal { throw refusal }
        guard !first.isEmpty else { return outcomes.answered }
        guard let row = outcomes.answered[1].rows.first else {
            return Array(outcomes.answered.dropFirst(first.count))
        }
        if case .text(let number)? = try? row.value("number") {
            token = Token(number: number, mark: mark)
        }
        if let marks, !marks.areUsable { marks.areUsable = (try? row.bool("has_marks")) ?? false }
        return Array(outcomes.answered.dropFirst(first.count))
    }

    // MARK: Transactions

    /// Begins a transaction with the statement that comes next; session settings are made for it
    /// alone, so that a pooler may give the next one to another session.
    func begin(writing: Bool, interrupt: PostgresInterrupt?, marks: PostgresMarks) {
        failure = nil
        (token, mark) = (nil, nil)
        (isCancelling, namesAreOff) = (false, false)
        answerLimit = configuration.statementTimeout + configuration.graceTime
        statements.forget()
        if usesNames, plannedAt.duration(to: .now) >= planLifetime {
            plannedAt = .now
            plansAreOld = true
            planLifetime = min(
                planLifetime * 2,
                configuration.planLifetime * Self.planLifetimeGrowth
            )
        }
        self.interrupt = interrupt
        let limits: SQL = """
            set_config('statement_timeout', \(milliseconds(configuration.statementTimeout)), true),
            set_config('lock_timeout', \(milliseconds(configuration.lockTimeout)), true),
            set_config('idle_in_transaction_session_timeout',
                \(milliseconds(configuration.statementTimeout)), true),
            set_config('jit', 'off', true)
            """
        self.marks = marks
        // The first transaction of a program only reads, so that its first write has a mark.
        let areUsable = marks.areUsable
        let hasMarks: SQL = areUsable ? "TRUE" : TransactionMarkTable.isUsable
        guard writing else {
            opening = [
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                "SELECT \(hasMarks) AS has_marks, \(limits)",
            ]
            return
        }
        opening = [
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            "SELECT pg_current_xact_id()::text AS number, \(hasMarks) AS has_marks, \(limits)",
        ]
        guard areUsable else { return }
        lastMark.number += 1
        mark = lastMark
        opening.append(TransactionMarkTable.note(lastMark))
    }

    /// Ends a transaction.
    ///
    /// Once COMMIT is on its way nothing interrupts it: its answer decides what has happened.
    func commit() throws(PostgresFailure) {
        if let failure { throw failure }
        interrupt = nil
        // A transaction without a statement finds out in this way whether there is a server.
        let outcomes = try exchange(opening + ["COMMIT"])
        opening = []
        if let refusal = outcomes.refusal { throw refusal }
        // A server that rolled back instead says so only here.
        guard outcomes.answered.last?.tag == "COMMIT" else {
            throw PostgresFailure(state: "25P02", message: "the transaction was rolled back")
        }
    }

    /// Ends a transaction that has only read, without waiting for the answer, which says nothing
    /// that matters: whoever runs the next transaction takes it.
    ///
    /// - Throws: ``PostgresFailure``.
    func leave() throws(PostgresFailure) {
        // A transaction without a statement has to find out whether there is a server.
        guard failure == nil, opening.isEmpty else { return try commit() }
        interrupt = nil
        var fresh: Set<String> = []
        try send(try queued("COMMIT", nil), &owed, &fresh)
        try handle.sendSync()
        // Kept back, it would keep the transaction open.
        if try !handle.flush() { try settle() }
    }

    /// Takes the answer to what ``leave()`` has sent.
    ///
    /// - Throws: ``PostgresFailure``: that of a name which a pooler's session knew or did not know
    ///   as it is, for the next connection would meet the same; otherwise the connection is lost.
    private func settle() throws(PostgresFailure) {
        guard !owed.isEmpty else { return }
        var exchange = Exchange()
        let expected = owed
        owed = []
        try answers(to: expected, &exchange)
        if let refusal = exchange.refusal, refusal.remedy == .withoutNames {
            namesAreOff = true
            throw refusal
        }
        guard exchange.refusal == nil, exchange.answered.last?.tag == "COMMIT" else {
            throw .lost("the database did not end a transaction that had read")
        }
    }

    /// Undoes a transaction; a connection on which that fails is not usable any more.
    func rollback() {
        interrupt = nil
        opening = []
        guard !handle.isBroken else { return }
        do throws(PostgresFailure) {
            // Where none has begun, the server only says so.
            let outcomes = try exchange(["ROLLBACK"])
            if outcomes.refusal == nil { failure = nil }
        } catch {
            failure = error
        }
    }

    /// What a transaction that may have been committed is known by.
    struct Token: Sendable, Equatable {
        /// The server's number of it.
        var number: String
        /// What it has written of itself; nil where it could not.
        var mark: TransactionMarkTable.Mark?
    }

    /// What became of a transaction whose COMMIT was not answered.
    enum Fate: Equatable {
        case committed
        case aborted
        /// The server has not noticed yet that its client is gone.
        case undecided
    }

    /// Asks for the fate of a transaction on another connection.
    func fate(of token: Token) throws(PostgresFailure) -> Fate {
        failure = nil
        answerLimit = configuration.statementTimeout + configuration.graceTime
        if let mark = token.mark, let fate = try fate(of: mark) { return fate }
        // A replica may not have heard of it yet.
        let asked = try exchange(["SELECT pg_is_in_recovery() AS is_replica"])
        if let refusal = asked.refusal { throw refusal }
        guard (try? asked.answered[0].rows.first?.bool("is_replica")) == false else {
            throw .readOnly
        }
        let outcomes = try exchange(["SELECT pg_xact_status(\(token.number)::xid8) AS fate"])
        // A number that the server will give some day: it has forgotten the transaction in a crash.
        if outcomes.refusal?.state == "22023" { return .aborted }
        if let refusal = outcomes.refusal { throw refusal }
        return switch try? outcomes.answered[0].rows[0].value("fate") {
        case .text("committed"): .committed
        case .text("aborted"): .aborted
        default: .undecided
        }
    }

    /// Nil when there is no table for marks any more.
    private func fate(of mark: TransactionMarkTable.Mark) throws(PostgresFailure) -> Fate? {
        let outcomes = try exchange(TransactionMarkTable.fate(of: mark))
        if let refusal = outcomes.refusal {
            _ = try exchange(["ROLLBACK"])
            if TransactionMarkTable.isMissing(refusal) { return nil }
            // The transaction has not ended.
            guard ["55P03", "57014"].contains(refusal.state) else { throw refusal }
            return .undecided
        }
        guard let last = try? outcomes.answered[2].rows.first?.integer("mark") else {
            return .undecided
        }
        return last == mark.number ? .committed : .aborted
    }

    /// Runs a statement outside a transaction.
    ///
    /// - Returns: Its rows.
    /// - Throws: ``PostgresFailure``.
    @discardableResult
    func command(
        _ statement: SQL,
        interrupt: PostgresInterrupt? = nil
    ) throws(PostgresFailure) -> [SQLRow] {
        failure = nil
        isCancelling = false
        self.interrupt = interrupt
        let outcomes = try exchange([statement])
        if let refusal = outcomes.refusal { throw refusal }
        return outcomes.answered.first?.rows ?? []
    }

    /// See ``PostgresHandle/waitForNotifications(until:interrupt:)``.
    func waitForNotifications(
        atMost duration: Duration,
        interrupt: PostgresInterrupt
    ) throws(PostgresFailure) -> Int {
        try handle.waitForNotifications(
            until: ContinuousClock.now.advanced(by: duration),
            interrupt: interrupt
        )
    }

    /// Takes the number of notifications that came with the answers to statements.
    ///
    /// They are taken from libpq with each answer: behind a pooler a session that another client
    /// made listen would fill the memory of whoever it is lent to.
    func takeNotified() -> Int {
        defer { notified = 0 }
        return notified
    }

    private func milliseconds(_ duration: Duration) -> String {
        String(Int64(duration / .milliseconds(1)))
    }

    // MARK: The pipeline

    private struct Exchange {
        var answered: [Outcome] = []
        var refusal: PostgresFailure?
    }

    /// What the next answer belongs to.
    private enum Expected {
        case preparation(PostgresStatements.Key, name: String)
        case statement
        case other
    }

    /// A statement ready to be sent.
    private struct Queued {
        var key: PostgresStatements.Key
        var binds: PostgresBinds
    }

    /// Sends statements and reads all answers, in one pipeline or, where they are long, in several;
    /// throws when the connection is lost.
    private func exchange(_ batch: [SQL]) throws(PostgresFailure) -> Exchange {
        var exchange = Exchange()
        var queue: [Queued] = []
        var byteCount = 0
        for statement in batch {
            for rows in Self.messages(of: statement) {
                // A pipeline is encoded before its first statement is sent: a value that cannot be
                // sent leaves nothing half-said.
                let item = try queued(statement, rows)
                queue.append(item)
                byteCount += item.binds.bytes.count
                guard byteCount >= Self.maximumPipelineBytes else { continue }
                try pass(queue, &exchange)
                guard exchange.refusal == nil else { return exchange }
                (queue, byteCount) = ([], 0)
            }
        }
        if !queue.isEmpty { try pass(queue, &exchange) }
        return exchange
    }

    /// Rows may be too many for one message; a statement without rows of its own is one.
    private static func messages(of statement: SQL) -> [SQLTable?] {
        guard let table = statement.table else { return [nil] }
        return table.parts(rows: maximumRows, bytes: maximumTableBytes).filter { !$0.isEmpty }
    }

    /// Sends one pipeline and adds its answers.
    private func pass(
        _ queue: [Queued],
        _ exchange: inout Exchange
    ) throws(PostgresFailure) {
        try settle()
        defer { plansAreOld = false }
        var expected: [Expected] = []
        var fresh: Set<String> = []
        for (place, item) in queue.enumerated() {
            try send(item, &expected, &fresh)
            // Behind BEGIN, which sets no level of isolation any more once a command has run.
            if place == 0, plansAreOld {
                try handle.send("DISCARD PLANS", types: [], binds: .none)
                expected.append(.other)
            }
        }
        try handle.sendSync()
        try answers(to: expected, &exchange)
        notified += handle.takeNotifications()
    }

    /// A statement, or one message of those that its rows take.
    private func queued(
        _ statement: SQL,
        _ rows: SQLTable?
    ) throws(PostgresFailure) -> Queued {
        guard statement.binds.count <= Self.maximumBinds else {
            let message = "\(statement.binds.count) binds in one statement"
            throw PostgresFailure(state: "42000", message: message)
        }
        let key = PostgresStatements.Key(
            text: statement.text(.postgres),
            kinds: statement.kinds,
            columns: rows?.kinds ?? []
        )
        do throws(StoreError) {
            return Queued(key: key, binds: try PostgresBinds(statement.binds, table: rows))
        } catch {
            throw PostgresFailure(state: "42000", message: "\(error)")
        }
    }

    private func send(
        _ item: Queued,
        _ expected: inout [Expected],
        _ fresh: inout Set<String>
    ) throws(PostgresFailure) {
        let key = item.key
        switch usesNames && !namesAreOff ? statements.plan(key) : .unnamed {
        case .unnamed:
            try handle.send(key.text, types: key.types, binds: item.binds)
        case .prepare(let name):
            if fresh.insert(name).inserted {
                try handle.sendPrepare(name, key.text, types: key.types)
                expected.append(.preparation(key, name: name))
            }
            try handle.send(prepared: name, binds: item.binds)
        case .prepared(let name):
            try handle.send(prepared: name, binds: item.binds)
        }
        expected.append(.statement)
    }

    /// Statements of a pipeline whose times are added up; a server that is gone must be found out.
    private static let summedStatements = 16

    /// Reads the answers to what was sent.
    ///
    /// The server keeps them until the pipeline is done: whoever waits for the first one waits for
    /// all, each of which has its time.
    private func answers(
        to expected: [Expected],
        _ exchange: inout Exchange
    ) throws(PostgresFailure) {
        let count = expected.count { item in
            if case .statement = item { true } else { false }
        }
        let limit = answerLimit * max(1, min(count, Self.summedStatements))
        for item in expected {
            let deadline = ContinuousClock.now.advanced(by: limit)
            guard let answer = try nextAnswer(until: deadline) else {
                throw .lost("the connection to the database was lost")
            }
            switch answer {
            case .rows(let rows, let changed, let tag):
                switch item {
                case .statement:
                    exchange.answered.append(Outcome(rows: rows, changed: changed, tag: tag))
                case .preparation(let key, let name): statements.didPrepare(key, name: name)
                case .other: break
                }
            case .failure(let failure):
                if exchange.refusal == nil { exchange.refusal = failure }
                if handle.isBroken { throw failure }
            case .skipped: break
            case .sync: throw .lost("the database answered out of turn")
            }
            // The answer to one statement ends with nothing.
            guard try nextAnswer(until: deadline) == nil else {
                throw .lost("the database answered twice")
            }
        }
        let deadline = ContinuousClock.now.advanced(by: answerLimit)
        guard case .sync? = try nextAnswer(until: deadline) else {
            throw .lost("the connection to the database was lost")
        }
    }

    /// An interruption asks the server to stop, and then its answer is waited for as ever.
    private func nextAnswer(
        until deadline: ContinuousClock.Instant
    ) throws(PostgresFailure) -> PostgresHandle.Answer? {
        do throws(PostgresFailure) {
            return try handle.nextAnswer(until: deadline, interrupt: interruptOnce)
        } catch {
            guard error.state == "57014" else { throw error }
            isCancelling = true
            handle.cancel()
            let end = ContinuousClock.now.advanced(by: Self.cancelTime)
            return try handle.nextAnswer(until: min(end, deadline), interrupt: nil)
        }
    }

    /// What ``leave()`` has sent, until it is answered.
    private var owed: [Expected] = []
    private var isCancelling = false
    private var interruptOnce: PostgresInterrupt? { isCancelling ? nil : interrupt }
}
