package import Domain

/// One row of a result.
///
/// Engines deliver raw values; the typed accessors know both engines' forms.
package struct SQLRow: Sendable {
    private let columns: SQLColumns
    private let values: [SQLValue]

    /// Joins a result's shared column table with one row's values.
    package init(columns: SQLColumns, values: [SQLValue]) {
        self.columns = columns
        self.values = values
    }

    /// The raw value of a column.
    ///
    /// - Throws: ``StoreError/unexpectedValue(column:)`` when the statement selects no such column.
    package func value(_ column: String) throws(StoreError) -> SQLValue {
        guard let place = columns.places[column] else { throw .unexpectedValue(column: column) }
        return values[place]
    }
}

/// The column names of one result, shared by its rows.
package struct SQLColumns: Sendable {
    let places: [String: Int]

    package init(_ names: [String]) {
        places = Dictionary(
            names.enumerated().map { ($0.element, $0.offset) },
            uniquingKeysWith: { first, _ in first }
        )
    }
}

extension SQLRow {
    /// A 64-bit integer.
    package func integer(_ column: String) throws(StoreError) -> Int64 {
        guard let value = try optionalInteger(column) else {
            throw .unexpectedValue(column: column)
        }
        return value
    }

    /// A 64-bit integer or NULL.
    package func optionalInteger(_ column: String) throws(StoreError) -> Int64? {
        switch try value(column) {
        case .null: nil
        case .integer(let number): number
        case .bool(let flag): flag ? 1 : 0
        case .double, .text, .blob, .timestamp, .json: throw .unexpectedValue(column: column)
        }
    }

    /// A floating-point number.
    package func double(_ column: String) throws(StoreError) -> Double {
        switch try value(column) {
        case .double(let number): number
        case .integer(let number): Double(number)
        case .null, .text, .blob, .bool, .timestamp, .json:
            throw .unexpectedValue(column: column)
        }
    }

    /// A text.
    package func text(_ column: String) throws(StoreError) -> String {
        guard let value = try optionalText(column) else { throw .unexpectedValue(column: column) }
        return value
    }

    /// A text or NULL.
    package func optionalText(_ column: String) throws(StoreError) -> String? {
        switch try value(column) {
        case .null: nil
        case .text(let text): text
        case .integer, .double, .blob, .bool, .timestamp, .json:
            throw .unexpectedValue(column: column)
        }
    }

    /// Bytes; an empty blob and an empty text are the same to SQLite.
    package func blob(_ column: String) throws(StoreError) -> [UInt8] {
        switch try value(column) {
        case .blob(let bytes): bytes
        case .text(let text) where text.isEmpty: []
        case .null, .integer, .double, .text, .bool, .timestamp, .json:
            throw .unexpectedValue(column: column)
        }
    }

    /// A truth value.
    package func bool(_ column: String) throws(StoreError) -> Bool {
        try integer(column) != 0
    }

    /// An instant.
    package func timestamp(_ column: String) throws(StoreError) -> Timestamp {
        guard let value = try optionalTimestamp(column) else {
            throw .unexpectedValue(column: column)
        }
        return value
    }

    /// An instant or NULL.
    package func optionalTimestamp(_ column: String) throws(StoreError) -> Timestamp? {
        switch try value(column) {
        case .null: nil
        case .timestamp(let instant): instant
        case .integer(let milliseconds): Timestamp(milliseconds: milliseconds)
        case .double, .text, .blob, .bool, .json: throw .unexpectedValue(column: column)
        }
    }

    /// A JSON document.
    package func json(_ column: String) throws(StoreError) -> JSONValue {
        switch try value(column) {
        case .json(let value): return value
        case .text(let text):
            guard let value = try? JSONParser.parse(text) else {
                // The parser's reason adds nothing for whoever has a damaged row.
                throw .unexpectedValue(column: column)
            }
            return value
        case .null, .integer, .double, .blob, .bool, .timestamp:
            throw .unexpectedValue(column: column)
        }
    }

    /// A row's identity.
    package func identifier<Entity>(
        _ column: String
    ) throws(StoreError) -> Identifier<Entity> {
        Identifier(try integer(column))
    }
}
