/// Rows of values for one statement that writes many.
///
/// SQLite runs the statement once a row, prepared once; PostgreSQL gets each column as one array
/// and runs it once. Either is several times faster than one statement a row.
package struct SQLTable: Sendable {
    /// The type of each column.
    package let kinds: [SQLKind]
    /// Row by row.
    private(set) var values: [SQLValue] = []

    /// No rows yet, of columns of these types.
    package init(_ kinds: [SQLKind]) {
        precondition(!kinds.isEmpty, "a row has a column")
        self.kinds = kinds
    }

    /// The number of rows.
    package var count: Int { values.count / kinds.count }
    /// Whether there are none.
    package var isEmpty: Bool { values.isEmpty }

    /// Adds a row, in the order of the columns.
    package mutating func append(_ row: [SQLValue]) {
        precondition(row.count == kinds.count, "a row has a value for each column")
        values += row
    }

    /// One row.
    func row(_ index: Int) -> ArraySlice<SQLValue> {
        values[index * kinds.count..<(index + 1) * kinds.count]
    }

    /// One column.
    func column(_ index: Int) -> [SQLValue] {
        stride(from: index, to: values.count, by: kinds.count).map { values[$0] }
    }

    /// What stands for the rows in a statement of so many other binds.
    func text(_ dialect: SQLDialect, after bindCount: Int) -> String {
        let numbers = (1...kinds.count).map { bindCount + $0 }
        return switch dialect {
        case .sqlite: "VALUES (" + numbers.map { "?\($0)" }.joined(separator: ", ") + ")"
        case .postgres:
            "SELECT * FROM unnest(" + numbers.map { "$\($0)" }.joined(separator: ", ") + ")"
        }
    }

    /// Parts of at most so many rows and, but for single rows, roughly so many bytes.
    func parts(rows limit: Int, bytes byteLimit: Int) -> [SQLTable] {
        guard count > limit || values.reduce(0, { $0 + $1.roughByteCount }) > byteLimit
        else { return [self] }
        var parts: [SQLTable] = []
        var part = SQLTable(kinds)
        var bytes = 0
        for index in 0..<count {
            let row = row(index)
            let size = row.reduce(0) { $0 + $1.roughByteCount }
            if !part.isEmpty, part.count == limit || bytes + size > byteLimit {
                parts.append(part)
                part = SQLTable(kinds)
                bytes = 0
            }
            part.values += row
            bytes += size
        }
        parts.append(part)
        return parts
    }
}

extension SQLValue {
    /// A value, or NULL for nil.
    package init(_ value: (some SQLBindable)?) {
        self = value?.sqlValue ?? .null
    }

    /// The size of a text or blob; of a document a guess.
    var roughByteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .blob(let bytes): bytes.count
        case .json: 64
        case .null, .integer, .double, .bool, .timestamp: 8
        }
    }
}
