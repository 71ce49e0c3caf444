import CPostgres
import Domain
import Glibc

/// One libpq connection, non-blocking and in pipeline mode from its beginning.
///
/// What waits for a connected server is `poll`, which a deadline and a ``PostgresInterrupt`` end.
/// Two things of libpq block for as long as the system lets them: finding the addresses of a host's
/// name, and the connection that ``cancel()`` makes. Used by one thread at a time.
@safe struct PostgresHandle: ~Copyable {
    /// Pipeline mode is in libpq, `pg_current_xact_id` in the server since 13; older servers are
    /// out of support.
    static let minimumServerVersion: Int32 = 140_000

    private let pointer: OpaquePointer

    /// Connects and looks at whom it has connected to.
    init(
        _ configuration: PostgresConfiguration,
        interrupt: PostgresInterrupt?
    ) throws(PostgresFailure) {
        let pointer = try unsafe Self.open(configuration, interrupt)
        unsafe self.pointer = pointer
    }

    deinit {
        unsafe PQfinish(pointer)
    }

    /// Its socket.
    var descriptor: Int32 { unsafe PQsocket(pointer) }

    /// Whether libpq has given the connection up.
    var isBroken: Bool { unsafe PQstatus(pointer) != CONNECTION_OK }

    // MARK: Connecting

    /// Connects; a host that does not answer in its time is left out, and the others are tried.
    ///
    /// libpq goes on to the next host when one refuses; whoever does not block has to notice by
    /// himself that one is silent.
    private static func open(
        _ configuration: PostgresConfiguration,
        _ interrupt: PostgresInterrupt?
    ) throws(PostgresFailure) -> OpaquePointer {
        try Self.verify(configuration.address.reveal())
        var hosts: PostgresHosts?
        while true {
            let pointer = try unsafe Self.start(configuration, hosts)
            do throws(PostgresFailure) {
                try unsafe Self.connect(pointer, configuration, interrupt)
                try unsafe Self.prepare(pointer)
                return unsafe pointer
            } catch {
                let tried = unsafe Self.hosts(of: pointer)
                let silent = unsafe Self.place(of: pointer)
                unsafe PQfinish(pointer)
                guard error.state == lateState, let rest = tried.without(silent)
                else { throw error }
                hosts = rest
            }
        }
    }

    /// "The client is unable to establish the connection", which no server says.
    private static let lateState = "08001"

    /// Refuses an address that is not understood before any part of it is used.
    ///
    /// A password with an `@` or a `/` as it is ends up, in part, where a host or a port belongs,
    /// and from there in messages and questions for the host's addresses.
    private static func verify(_ address: String) throws(PostgresFailure) {
        // libpq's own message would quote it, password and all.
        let unclear = PostgresFailure(
            state: "3D000",
            message: "`DATABASE_URL` is not understood"
        )
        guard let options = unsafe PQconninfoParse(address, nil) else { throw unclear }
        defer { unsafe PQconninfoFree(options) }
        let hosts = unsafe value(of: "host", in: options) ?? ""
        let ports = unsafe value(of: "port", in: options) ?? ""
        // What is behind the `/` of a password is taken for the database's name.
        let user = unsafe value(of: "user", in: options)
        let name = unsafe value(of: "dbname", in: options) ?? ""
        let isCut = user == nil && address.contains("://") && name.contains("@")
        guard PostgresHosts.areClear(hosts: hosts, ports: ports), !isCut else { throw unclear }
    }

    private static func start(
        _ configuration: PostgresConfiguration,
        _ hosts: PostgresHosts?
    ) throws(PostgresFailure) -> OpaquePointer {
        let parameters = configuration.parameters + (hosts?.parameters ?? [])
        var keywords = unsafe parameters.map { unsafe UnsafePointer(strdup($0.keyword)) }
        var values = unsafe parameters.map { unsafe UnsafePointer(strdup($0.value)) }
        defer {
            unsafe keywords.forEach { unsafe free(UnsafeMutableRawPointer(mutating: $0)) }
            unsafe values.forEach { unsafe free(UnsafeMutableRawPointer(mutating: $0)) }
        }
        unsafe keywords.append(nil)
        unsafe values.append(nil)
        guard let pointer = unsafe PQconnectStartParams(keywords, values, 1) else {
            throw .lost("no memory is left for a connection")
        }
        guard unsafe PQstatus(pointer) != CONNECTION_BAD else {
            defer { unsafe PQfinish(pointer) }
            // A setting is not understood, or no host was found.
            throw unsafe Self.refusal(pointer)
        }
        return unsafe pointer
    }

    private static func connect(
        _ pointer: OpaquePointer,
        _ configuration: PostgresConfiguration,
        _ interrupt: PostgresInterrupt?
    ) throws(PostgresFailure) {
        let timeout = try configuration.connectTime(
            saying: unsafe Self.option("connect_timeout", of: pointer)
        )
        var place = unsafe Self.place(of: pointer)
        var deadline = ContinuousClock.now.advanced(by: timeout)
        var wish = PGRES_POLLING_WRITING
        while wish != PGRES_POLLING_OK {
            guard wish != PGRES_POLLING_FAILED else { throw unsafe Self.refusal(pointer) }
            let events = wish == PGRES_POLLING_READING ? POLLIN : POLLOUT
            let outcome = unsafe wait(PQsocket(pointer), events, until: deadline, interrupt)
            switch outcome {
            case .ready: break
            case .interrupted: throw PostgresFailure(state: "57014", message: "cancelled")
            case .late:
                throw PostgresFailure(
                    state: lateState,
                    message: "the database did not answer within \(timeout)"
                )
            }
            wish = unsafe PQconnectPoll(pointer)
            let next = unsafe Self.place(of: pointer)
            guard next != place else { continue }
            (place, deadline) = (next, ContinuousClock.now.advanced(by: timeout))
        }
    }

    /// The host that is being connected to, or is connected.
    private static func place(of pointer: OpaquePointer) -> PostgresHosts.Place {
        PostgresHosts.Place(
            name: unsafe PQhost(pointer).map { unsafe String(cString: $0) } ?? "",
            port: unsafe PQport(pointer).map { unsafe String(cString: $0) } ?? ""
        )
    }

    /// All hosts that address and variables name.
    private static func hosts(of pointer: OpaquePointer) -> PostgresHosts {
        PostgresHosts(
            hosts: unsafe Self.option("host", of: pointer) ?? "",
            addresses: unsafe Self.option("hostaddr", of: pointer) ?? "",
            ports: unsafe Self.option("port", of: pointer) ?? ""
        )
    }

    /// What address and variables say, such as `connect_timeout`, which libpq leaves to those who
    /// do not block.
    private static func option(_ name: String, of pointer: OpaquePointer) -> String? {
        guard let options = unsafe PQconninfo(pointer) else { return nil }
        defer { unsafe PQconninfoFree(options) }
        return unsafe value(of: name, in: options)
    }

    private static func value(
        of name: String,
        in options: UnsafeMutablePointer<PQconninfoOption>
    ) -> String? {
        var option = unsafe options
        while let keyword = unsafe option.pointee.keyword {
            if unsafe strcmp(keyword, name) == 0, let text = unsafe option.pointee.val {
                return unsafe String(cString: text)
            }
            unsafe option += 1
        }
        return nil
    }

    /// What the system does about a peer that has vanished without a word: it is noticed within a
    /// minute, also while it owes us an answer.
    private static let watchSettings: [(option: String, number: Int32, value: Int32)] = [
        ("keepalives_idle", TCP_KEEPIDLE, 30),
        ("keepalives_interval", TCP_KEEPINTVL, 10),
        ("keepalives_count", TCP_KEEPCNT, 3),
        ("tcp_user_timeout", TCP_USER_TIMEOUT, 60_000),
    ]

    /// Sets what the operator has left open; libpq, told of it, would take it for his own word and
    /// heed no service file that says otherwise.
    private static func watch(_ pointer: OpaquePointer) {
        guard unsafe option("keepalives", of: pointer) != "0" else { return }
        for item in watchSettings {
            guard unsafe option(item.option, of: pointer) == nil else { continue }
            var value = item.value
            // A socket in the file system has none of it, and refuses.
            _ = unsafe setsockopt(
                PQsocket(pointer),
                Int32(IPPROTO_TCP),
                item.number,
                &value,
                socklen_t(MemoryLayout<Int32>.size)
            )
        }
    }

    private static func prepare(_ pointer: OpaquePointer) throws(PostgresFailure) {
        unsafe watch(pointer)
        unsafe PQsetNoticeProcessor(pointer, { _, _ in }, nil)
        let version = unsafe PQserverVersion(pointer)
        guard version >= minimumServerVersion else {
            throw PostgresFailure(
                state: "3D000",
                message: "PostgreSQL \(version / 10_000) is too old; 14 or newer is needed"
            )
        }
        let encoding = unsafe PQparameterStatus(pointer, "server_encoding").map {
            unsafe String(cString: $0)
        }
        guard encoding == "UTF8" else {
            throw PostgresFailure(
                state: "3D000",
                message: "the database's encoding is \(encoding ?? "unknown"); UTF8 is needed"
            )
        }
        guard unsafe PQsetnonblocking(pointer, 1) == 0, unsafe PQenterPipelineMode(pointer) == 1
        else { throw unsafe .lost(message(of: pointer)) }
    }

    /// Why the server or the network did not let us in; libpq tells the text alone.
    private static func refusal(_ pointer: OpaquePointer) -> PostgresFailure {
        let message = unsafe message(of: pointer)
        let isFinal = finalRefusals.contains { message.contains($0) }
        guard !isFinal else { return PostgresFailure(state: "28000", message: message) }
        let isEarly = earlyRefusals.contains { message.contains($0) }
        return PostgresFailure(state: isEarly ? PostgresFailure.notYet : "", message: message)
    }

    /// What a server says that is there and lets nobody in yet, or is about to begin anew.
    ///
    /// One without hot standby, which "is not accepting connections", is not: it stays so.
    private static let earlyRefusals = [
        "the database system is starting up",
        "the database system is not yet accepting connections",
        "the database system is in recovery mode",
        "the database system is shutting down",
    ]

    /// What another attempt would hear again.
    ///
    /// A handshake that was cut is not among it: libpq tells of an `SSL SYSCALL error` then, or of
    /// an `SSL error` that is an unexpected end.
    private static let finalRefusals = [
        "authentication failed", "does not exist", "no pg_hba.conf entry",
        "pg_hba.conf rejects connection", "no password supplied", "is not permitted to log in",
        "permission denied for database",
        // A setting is wrong, by whatever way it came.
        "definition of service", "service file", "could not match", " value: \"",
        "invalid port number", "invalid integer value", "invalid value for parameter",
        "unrecognized configuration parameter", "invalid connection option",
        // The server's certificate is not to be believed, or ours is missing or refused.
        "certificate verify failed", "server certificate for", "certificate file",
        "private key file", "valid client certificate", "alert unknown ca", "alert certificate",
        "alert bad certificate", "alert handshake failure", "alert protocol version",
        // One side speaks TLS and the other must not.
        "SSL was required", "does not support SSL",
    ]

    private static func message(of pointer: OpaquePointer) -> String {
        let text = unsafe PQerrorMessage(pointer).map { unsafe String(cString: $0) } ?? ""
        return PostgresFailure.line(of: text)
    }

    // MARK: Waiting

    private enum Outcome {
        case ready
        case interrupted
        case late
    }

    /// Waits are taken up again after it.
    private static let longestPause = Duration.seconds(3_600)

    /// Waits for the socket; an interruption that has been requested before does not wait at all.
    private static func wait(
        _ socket: Int32,
        _ events: Int32,
        until deadline: ContinuousClock.Instant,
        _ interrupt: PostgresInterrupt?
    ) -> Outcome {
        while true {
            if let interrupt, interrupt.isRequested { return .interrupted }
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { return .late }
            var waiting = [
                pollfd(fd: socket, events: Int16(events), revents: 0),
                pollfd(fd: interrupt?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            // Rounded up, so that the last wait is not a busy one; and no longer than a number of
            // milliseconds holds, for an address may name any time.
            let pause = min(left, Self.longestPause)
            let milliseconds = Int32(clamping: Int64(pause / .milliseconds(1)) + 1)
            let count = unsafe poll(&waiting, 2, milliseconds)
            if count < 0, errno != EINTR { return .ready }
            if count > 0, waiting[0].revents != 0 { return .ready }
        }
    }
}

// MARK: - Sending

extension PostgresHandle {
    /// Queues a statement without a name.
    func send(_ text: String, types: [UInt32], binds: PostgresBinds) throws(PostgresFailure) {
        let isQueued = unsafe withParameters(binds) { values, lengths, formats in
            unsafe PQsendQueryParams(
                pointer,
                text,
                Int32(types.count),
                types,
                values,
                lengths,
                formats,
                1
            )
        }
        try check(isQueued)
    }

    /// Queues the preparation of a statement.
    func sendPrepare(_ name: String, _ text: String, types: [UInt32]) throws(PostgresFailure) {
        try check(unsafe PQsendPrepare(pointer, name, text, Int32(types.count), types))
    }

    /// Queues a prepared statement.
    func send(prepared name: String, binds: PostgresBinds) throws(PostgresFailure) {
        let isQueued = unsafe withParameters(binds) { values, lengths, formats in
            unsafe PQsendQueryPrepared(
                pointer,
                name,
                Int32(binds.ranges.count),
                values,
                lengths,
                formats,
                1
            )
        }
        try check(isQueued)
    }

    /// Ends what is queued: the server answers up to here, whatever fails.
    func sendSync() throws(PostgresFailure) {
        try check(unsafe PQpipelineSync(pointer))
    }

    /// Gives the network what is queued.
    ///
    /// - Returns: Whether it has taken everything at once.
    func flush() throws(PostgresFailure) -> Bool {
        let rest = unsafe PQflush(pointer)
        guard rest >= 0 else { throw unsafe .lost(Self.message(of: pointer)) }
        return rest == 0
    }

    private func check(_ isQueued: Int32) throws(PostgresFailure) {
        guard isQueued == 1 else { throw unsafe .lost(Self.message(of: pointer)) }
    }

    private func withParameters(
        _ binds: PostgresBinds,
        _ body: (
            UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<Int32>, UnsafePointer<Int32>
        ) -> Int32
    ) -> Int32 {
        unsafe binds.bytes.withUnsafeBytes { buffer in
            let start = unsafe buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            let values = unsafe binds.ranges.map { range in
                unsafe range.flatMap { range in unsafe start.map { unsafe $0 + range.lowerBound } }
            }
            // The values are at most 500 MB long, and so fit.
            let lengths = binds.ranges.map { range in Int32(range?.count ?? 0) }
            let formats = [Int32](repeating: 1, count: binds.ranges.count)
            return unsafe body(values, lengths, formats)
        }
    }
}

// MARK: - Receiving

extension PostgresHandle {
    /// One answer: rows, a count, an error, or the end of what was queued.
    enum Answer {
        case rows([SQLRow], changed: Int, tag: String)
        case failure(PostgresFailure)
        /// A statement behind the one that failed.
        case skipped
        case sync
    }

    /// Waits for the next answer, sending what is still queued meanwhile.
    ///
    /// - Returns: Nil between the answers to two statements.
    func nextAnswer(
        until deadline: ContinuousClock.Instant,
        interrupt: PostgresInterrupt?
    ) throws(PostgresFailure) -> Answer? {
        while true {
            let unsent = unsafe PQflush(pointer)
            guard unsent >= 0 else { throw unsafe .lost(Self.message(of: pointer)) }
            if unsafe PQisBusy(pointer) == 0 { break }
            let events = unsent == 1 ? POLLIN | POLLOUT : POLLIN
            let outcome = Self.wait(descriptor, events, until: deadline, interrupt)
            switch outcome {
            case .ready: break
            case .interrupted: throw PostgresFailure(state: "57014", message: "cancelled")
            case .late: throw .lost("the database has stopped answering")
            }
            guard unsafe PQconsumeInput(pointer) == 1 else {
                throw unsafe .lost(Self.message(of: pointer))
            }
        }
        guard let result = unsafe PQgetResult(pointer) else { return nil }
        defer { unsafe PQclear(result) }
        return try unsafe Self.answer(result)
    }

    private static func answer(_ result: OpaquePointer) throws(PostgresFailure) -> Answer {
        switch unsafe PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            do throws(StoreError) {
                return .rows(
                    try unsafe rows(result),
                    changed: unsafe PQcmdTuples(result).flatMap { unsafe Int(String(cString: $0)) }
                        ?? 0,
                    tag: unsafe PQcmdStatus(result).map { unsafe String(cString: $0) } ?? ""
                )
            } catch {
                throw PostgresFailure(state: "XX001", message: "\(error)")
            }
        case PGRES_PIPELINE_SYNC: return .sync
        case PGRES_PIPELINE_ABORTED: return .skipped
        default: return .failure(unsafe failure(result))
        }
    }

    private static func failure(_ result: OpaquePointer) -> PostgresFailure {
        func field(_ code: Character) -> String {
            let number = Int32(code.asciiValue ?? 0)
            return unsafe PQresultErrorField(result, number).map { unsafe String(cString: $0) }
                ?? ""
        }
        let message = field("M")
        return PostgresFailure(
            state: field("C"),
            message: message.isEmpty ? "the connection to the database was lost" : message
        )
    }

    private static func rows(_ result: OpaquePointer) throws(StoreError) -> [SQLRow] {
        let (rowCount, columnCount) = unsafe (PQntuples(result), PQnfields(result))
        guard rowCount > 0 else { return [] }
        let names = (0..<columnCount).map { column in
            unsafe PQfname(result, column).map { unsafe String(cString: $0) } ?? ""
        }
        let types = (0..<columnCount).map { column in unsafe PQftype(result, column) }
        let columns = SQLColumns(names)
        var rows: [SQLRow] = []
        rows.reserveCapacity(Int(rowCount))
        for row in 0..<rowCount {
            var values: [SQLValue] = []
            values.reserveCapacity(types.count)
            for column in 0..<columnCount {
                guard unsafe PQgetisnull(result, row, column) == 0,
                    let start = unsafe PQgetvalue(result, row, column)
                else {
                    values.append(.null)
                    continue
                }
                let count = unsafe Int(PQgetlength(result, row, column))
                let buffer = unsafe UnsafeRawBufferPointer(start: start, count: count)
                values.append(
                    try unsafe SQLValue(type: types[Int(column)], bytes: buffer.bytes)
                )
            }
            rows.append(SQLRow(columns: columns, values: values))
        }
        return rows
    }
}

// MARK: - Notifications and cancelling

extension PostgresHandle {
    /// Waits until the server has something to say that nobody asked for.
    ///
    /// - Returns: The number of notifications; 0 when the time was up or the wait interrupted.
    func waitForNotifications(
        until deadline: ContinuousClock.Instant,
        interrupt: PostgresInterrupt
    ) throws(PostgresFailure) -> Int {
        let taken = takeNotifications()
        if taken > 0 { return taken }
        let outcome = Self.wait(descriptor, POLLIN, until: deadline, interrupt)
        guard case .ready = outcome else { return 0 }
        guard unsafe PQconsumeInput(pointer) == 1 else {
            throw unsafe .lost(Self.message(of: pointer))
        }
        // Without a statement under way an answer can only be the server's farewell.
        if unsafe PQisBusy(pointer) == 0, isBroken { throw unsafe .lost(Self.message(of: pointer)) }
        return takeNotifications()
    }

    /// Takes what was notified so far: libpq keeps it until somebody does.
    func takeNotifications() -> Int {
        var count = 0
        while let notification = unsafe PQnotifies(pointer) {
            unsafe PQfreemem(notification)
            count += 1
        }
        return count
    }

    /// Asks the server, on a connection of its own, to stop the statement under way.
    ///
    /// That connection blocks and is not encrypted: `PQcancelStart`, which waits and speaks TLS as
    /// the first connection does, is in libpq 17 alone. What it carries is the number of the
    /// session and the key with which no more can be done than this.
    func cancel() {
        guard let request = unsafe PQgetCancel(pointer) else { return }
        defer { unsafe PQfreeCancel(request) }
        var message = [CChar](repeating: 0, count: 256)
        // A refusal changes nothing: the statement ends by itself or by its time-out.
        _ = unsafe PQcancel(request, &message, Int32(message.count))
    }
}
