import Domain
import GRDB
import GRDBSQLite

/// A prepared statement of SQLite, whose values are bound and read without anything in between.
///
/// The library boxes each value on its way in and out, a quarter of the time of a bulk write; it
/// prepares and keeps statements, and opens and ends transactions. See
/// https://www.sqlite.org/c3ref/bind_blob.html and https://www.sqlite.org/c3ref/column_blob.html.
@safe struct SQLiteHandle {
    /// Below SQLite's limit of 10^9 bytes.
    static let maximumValueBytes = 500_000_000
    /// Tells SQLite to copy what is bound; a macro in C.
    private static let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    private let statement: OpaquePointer
    /// Whose end would be the end of ``statement``.
    private let prepared: Statement

    /// A statement that nothing is bound to and that is not under way.
    ///
    /// Whoever makes a handle ends it with ``finish()``; until then the statement is there.
    init(_ prepared: Statement) {
        self.prepared = prepared
        unsafe statement = prepared.sqliteStatement
    }

    /// Makes the statement ready for whoever has it next.
    func finish() {
        withExtendedLifetime(prepared) {
            // What a step has refused is told again here.
            unsafe sqlite3_reset(statement)
            // Texts and blobs are not kept for as long as the statement is.
            unsafe sqlite3_clear_bindings(statement)
        }
    }

    // MARK: Binding

    /// Binds values to the placeholders from `first` on, the first of all being 1.
    ///
    /// - Throws: ``StoreError/statement(detail:)`` for a value that is too large.
    func bind(_ values: some Sequence<SQLValue>, from first: Int = 1) throws(StoreError) {
        var place = Int32(first)
        for value in values {
            let code = try bind(value, at: place)
            guard code == SQLITE_OK else { throw failure(code) }
            place += 1
        }
    }

    private func bind(_ value: SQLValue, at place: Int32) throws(StoreError) -> Int32 {
        switch value {
        case .null: unsafe sqlite3_bind_null(statement, place)
        case .integer(let number): unsafe sqlite3_bind_int64(statement, place, number)
        case .double(let number): unsafe sqlite3_bind_double(statement, place, number)
        case .bool(let flag): unsafe sqlite3_bind_int64(statement, place, flag ? 1 : 0)
        case .timestamp(let instant):
            unsafe sqlite3_bind_int64(statement, place, instant.milliseconds)
        // PostgreSQL's texts end at NUL; the adapters replace it, this is the last guard.
        case .text(let text): try bind(text: sanitized(text), at: place)
        case .json(let json): try bind(text: json.serialized(), at: place)
        case .blob(let bytes): try bind(blob: bytes, at: place)
        }
    }

    private func bind(text: String, at place: Int32) throws(StoreError) -> Int32 {
        try limit(text.utf8.count)
        var text = text
        return text.withUTF8 { bytes in
            unsafe bind(text: UnsafeRawBufferPointer(bytes), at: place)
        }
    }

    private func bind(text bytes: [UInt8], at place: Int32) throws(StoreError) -> Int32 {
        try limit(bytes.count)
        return unsafe bytes.withUnsafeBytes { bytes in unsafe bind(text: bytes, at: place) }
    }

    private func bind(text bytes: UnsafeRawBufferPointer, at place: Int32) -> Int32 {
        // Without an address it would be NULL.
        guard let address = bytes.baseAddress else {
            return unsafe sqlite3_bind_text(statement, place, "", 0, Self.transient)
        }
        return unsafe sqlite3_bind_text(
            statement,
            place,
            address.assumingMemoryBound(to: CChar.self),
            Int32(bytes.count),
            Self.transient
        )
    }

    private func bind(blob bytes: [UInt8], at place: Int32) throws(StoreError) -> Int32 {
        try limit(bytes.count)
        guard !bytes.isEmpty else { return unsafe sqlite3_bind_zeroblob(statement, place, 0) }
        return unsafe bytes.withUnsafeBytes { bytes in
            unsafe sqlite3_bind_blob(
                statement,
                place,
                bytes.baseAddress,
                Int32(bytes.count),
                Self.transient
            )
        }
    }

    private func limit(_ byteCount: Int) throws(StoreError) {
        guard byteCount <= Self.maximumValueBytes else {
            throw .statement(detail: "a value of \(byteCount) bytes")
        }
    }

    // MARK: Running

    /// Goes on to the next row; nil when there is none.
    func next() throws(StoreError) -> [SQLValue]? {
        let code = unsafe sqlite3_step(statement)
        switch code {
        case SQLITE_ROW:
            let count = unsafe sqlite3_column_count(statement)
            return (0..<count).map(value)
        case SQLITE_DONE: return nil
        default: throw failure(code)
        }
    }

    /// Runs it to its end, with what is bound; then it can be run again.
    ///
    /// - Returns: The number of rows it has changed.
    func run() throws(StoreError) -> Int {
        var code: Int32
        repeat { code = unsafe sqlite3_step(statement) } while code == SQLITE_ROW
        guard code == SQLITE_DONE else { throw failure(code) }
        unsafe sqlite3_reset(statement)
        return Int(unsafe sqlite3_changes(sqlite3_db_handle(statement)))
    }

    /// The value of a column as SQLite stores it, untyped: ``SQLRow`` knows which columns are truth
    /// values or instants.
    private func value(_ column: Int32) -> SQLValue {
        switch unsafe sqlite3_column_type(statement, column) {
        case SQLITE_INTEGER: return .integer(unsafe sqlite3_column_int64(statement, column))
        case SQLITE_FLOAT: return .double(unsafe sqlite3_column_double(statement, column))
        case SQLITE_TEXT:
            // In this order, which the library asks for.
            let address = unsafe sqlite3_column_text(statement, column)
            let count = Int(unsafe sqlite3_column_bytes(statement, column))
            return .text(
                unsafe String(
                    decoding: UnsafeBufferPointer(start: address, count: count),
                    as: UTF8.self
                )
            )
        case SQLITE_BLOB:
            let address = unsafe sqlite3_column_blob(statement, column)
            let count = Int(unsafe sqlite3_column_bytes(statement, column))
            return .blob(unsafe [UInt8](UnsafeRawBufferPointer(start: address, count: count)))
        default: return .null
        }
    }

    /// What a code of the library means, with its words.
    private func failure(_ code: Int32) -> StoreError {
        let message = unsafe String(cString: sqlite3_errmsg(sqlite3_db_handle(statement)))
        return StoreError(DatabaseError(resultCode: ResultCode(rawValue: code), message: message))
    }
}
