package import Domain

/// A statement with its bound values, built by string interpolation.
///
/// `\(value)` becomes a placeholder and a bind, so text from outside can never become SQL; raw text
/// is let in only as a static string. Placeholders are written `?` for SQLite; the PostgreSQL
/// engine renders the same segments as `$1`, `$2`…. One place may take a ``SQLTable``.
package struct SQL: Sendable, ExpressibleByStringInterpolation {
    /// Text between the binds: always one more than ``binds``.
    package private(set) var segments: [String]
    /// Values in the order of their placeholders.
    package private(set) var binds: [SQLValue]
    /// The type of each bind, also where the value is NULL: PostgreSQL plans a text by its types.
    package private(set) var kinds: [SQLKind]
    /// How each bind stands in the text.
    private var forms: [Form]
    /// Rows that the statement is run for; nil for a statement that is run once.
    package private(set) var table: SQLTable?
    /// Behind which segment the rows stand.
    private let tablePlace: Int?

    package init(stringLiteral value: String) {
        segments = [value]
        binds = []
        kinds = []
        forms = []
        table = nil
        tablePlace = nil
    }

    package init(stringInterpolation: StringInterpolation) {
        segments = stringInterpolation.segments
        binds = stringInterpolation.binds
        kinds = stringInterpolation.kinds
        forms = stringInterpolation.forms
        table = stringInterpolation.table
        tablePlace = stringInterpolation.tablePlace
    }

    /// The statement with numbered placeholders; those of the rows come after all others.
    package func text(_ dialect: SQLDialect) -> String {
        var text = segments[0]
        var number = 0
        for (index, segment) in segments.dropFirst().enumerated() {
            if index == tablePlace, let table {
                text += table.text(dialect, after: binds.count)
            } else {
                let form = forms[number]
                number += 1
                // SQLite keeps numbers as names, which it looks for one by one; where no rows stand
                // in between, the order says it all.
                let isNumbered = dialect == .postgres || table != nil
                let place = (dialect == .sqlite ? "?" : "$") + (isNumbered ? String(number) : "")
                text += form.text(place, dialect)
            }
            text += segment
        }
        return text
    }

    /// How a bind stands in the text.
    fileprivate enum Form: Sendable {
        case value
        /// Numbers separated by commas: the condition that what stands before is one of them.
        case identifiers
        /// The same of a document with a list of texts.
        case texts

        func text(_ place: String, _ dialect: SQLDialect) -> String {
            switch (self, dialect) {
            case (.value, _): place
            case (.identifiers, .sqlite): "IN (SELECT value FROM json_each('[' || \(place) || ']'))"
            // Not IN, which would be a join, and without statistics one of all rows with all.
            case (.identifiers, .postgres): "= ANY(string_to_array(\(place), ',')::bigint[])"
            case (.texts, .sqlite): "IN (SELECT value FROM json_each(\(place)))"
            case (.texts, .postgres): "= ANY(ARRAY(SELECT jsonb_array_elements_text(\(place))))"
            }
        }
    }

    /// The same statement for other rows.
    func with(_ table: SQLTable) -> SQL {
        var copy = self
        copy.table = table
        return copy
    }

    /// Collects the segments and binds of a literal; see ``SQL``.
    package struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var segments = [""]
        fileprivate var binds: [SQLValue] = []
        fileprivate var kinds: [SQLKind] = []
        fileprivate var forms: [Form] = []
        fileprivate var table: SQLTable?
        fileprivate var tablePlace: Int?

        package init(literalCapacity: Int, interpolationCount: Int) {
            binds.reserveCapacity(interpolationCount)
        }

        /// Appends text of the literal itself.
        package mutating func appendLiteral(_ literal: String) {
            segments[segments.count - 1] += literal
        }

        /// Binds a value.
        package mutating func appendInterpolation(_ value: some SQLBindable) {
            let bound = value.sqlValue
            append(bound, bound.kind)
        }

        /// Binds a value, or NULL for nil.
        package mutating func appendInterpolation<Value: SQLBindable>(_ value: Value?) {
            append(value?.sqlValue ?? .null, Value.sqlKind)
        }

        private mutating func append(_ value: SQLValue, _ kind: SQLKind, _ form: Form = .value) {
            binds.append(value)
            kinds.append(kind)
            forms.append(form)
            segments.append("")
        }

        /// Inserts rows, as `VALUES` or as what gives the same rows.
        ///
        /// The statement is run for all of them; one whose rows are none is not run.
        package mutating func appendInterpolation(rows table: SQLTable) {
            precondition(self.table == nil, "a statement has one place for rows")
            self.table = table
            tablePlace = segments.count - 1
            segments.append("")
        }

        /// Inserts SQL text known at compile time.
        package mutating func appendInterpolation(raw text: StaticString) {
            segments[segments.count - 1] += text.description
        }

        /// Inserts a number that has to stand in the text, such as the length of a column's type.
        package mutating func appendInterpolation(number: Int) {
            segments[segments.count - 1] += String(number)
        }

        /// Binds a vector as pgvector's `halfvec`; PostgreSQL alone has the type.
        ///
        /// The type has no fixed identifier, so the server finds out from where the bind stands.
        package mutating func appendInterpolation(halfVector vector: [Float]) {
            append(.blob(HalfVectorBytes.encode(vector)), .unknown)
        }

        /// Binds identifiers as `bigint[]` in PostgreSQL's binary form (`array_recv`), which has
        /// neither text to write nor to read; PostgreSQL alone has the type.
        ///
        /// The place has to say so: `$1::bigint[]`.
        package mutating func appendInterpolation<Entity>(array identifiers: [Identifier<Entity>]) {
            append(.blob(PostgresBinds.array(of: identifiers.lazy.map(\.rawValue))), .unknown)
        }

        /// Inserts the condition that what stands before it is one of these: one bind, however many
        /// they are, so that the statement stays the same and is prepared once.
        package mutating func appendInterpolation<Entity>(
            among identifiers: some Sequence<Identifier<Entity>>
        ) {
            let numbers = identifiers.lazy.map { String($0.rawValue) }.joined(separator: ",")
            append(.text(numbers), .text, .identifiers)
        }

        /// Inserts the condition that what stands before it is one of these.
        package mutating func appendInterpolation(among texts: some Sequence<String>) {
            append(.json(.array(texts.map { .string($0) })), .json, .texts)
        }

        /// Inserts another statement with its binds, such as a condition built elsewhere.
        package mutating func appendInterpolation(_ other: SQL) {
            precondition(other.table == nil, "rows stand in the outermost statement")
            segments[segments.count - 1] += other.segments[0]
            segments += other.segments.dropFirst()
            binds += other.binds
            kinds += other.kinds
            forms += other.forms
        }

        /// Inserts statements separated by `separator`; for IN lists and value rows.
        package mutating func appendInterpolation(
            _ parts: [SQL],
            separator: StaticString = ", "
        ) {
            for (index, part) in parts.enumerated() {
                if index > 0 { appendInterpolation(raw: separator) }
                appendInterpolation(part)
            }
        }
    }
}

/// A value on its way into or out of the database.
package enum SQLValue: Sendable, Hashable {
    case null
    case integer(Int64)
    case double(Double)
    case text(String)
    case blob([UInt8])
    /// Native in PostgreSQL, 0 or 1 in SQLite.
    case bool(Bool)
    /// timestamptz in PostgreSQL, integer milliseconds in SQLite.
    case timestamp(Timestamp)
    /// jsonb in PostgreSQL, text in SQLite.
    case json(JSONValue)
}

/// The type of a bind.
package enum SQLKind: Sendable, Hashable {
    /// Of a NULL that could be of any type: the engine finds out from where it stands.
    case unknown
    case integer
    case double
    case text
    case blob
    case bool
    case timestamp
    case json
}

extension SQLValue {
    /// The type of the value; unknown for NULL.
    package var kind: SQLKind {
        switch self {
        case .null: .unknown
        case .integer: .integer
        case .double: .double
        case .text: .text
        case .blob: .blob
        case .bool: .bool
        case .timestamp: .timestamp
        case .json: .json
        }
    }
}

/// A type that can be bound.
package protocol SQLBindable {
    /// What is bound.
    var sqlValue: SQLValue { get }
    /// The type that is bound for nil.
    static var sqlKind: SQLKind { get }
}

extension SQLValue: SQLBindable {
    package var sqlValue: SQLValue { self }
    package static var sqlKind: SQLKind { .unknown }
}
extension Int64: SQLBindable {
    package var sqlValue: SQLValue { .integer(self) }
    package static var sqlKind: SQLKind { .integer }
}
extension Int: SQLBindable {
    package var sqlValue: SQLValue { .integer(Int64(self)) }
    package static var sqlKind: SQLKind { .integer }
}
extension Double: SQLBindable {
    package var sqlValue: SQLValue { .double(self) }
    package static var sqlKind: SQLKind { .double }
}
extension String: SQLBindable {
    package var sqlValue: SQLValue { .text(self) }
    package static var sqlKind: SQLKind { .text }
}
extension Bool: SQLBindable {
    package var sqlValue: SQLValue { .bool(self) }
    package static var sqlKind: SQLKind { .bool }
}
extension Timestamp: SQLBindable {
    package var sqlValue: SQLValue { .timestamp(self) }
    package static var sqlKind: SQLKind { .timestamp }
}
extension JSONValue: SQLBindable {
    package var sqlValue: SQLValue { .json(self) }
    package static var sqlKind: SQLKind { .json }
}
extension Identifier: SQLBindable {
    package var sqlValue: SQLValue { .integer(rawValue) }
    package static var sqlKind: SQLKind { .integer }
}
extension Revision: SQLBindable {
    package var sqlValue: SQLValue { .integer(rawValue) }
    package static var sqlKind: SQLKind { .integer }
}
extension [UInt8]: SQLBindable {
    package var sqlValue: SQLValue { .blob(self) }
    package static var sqlKind: SQLKind { .blob }
}
