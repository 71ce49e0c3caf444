package import Domain

/// A statement with its bound values, built by string interpolation.
///
/// `\(value)` becomes a placeholder and a bind, so text from outside can never become SQL; raw text
/// is let in only as a static string. Placeholders are written `?1`, `?2`… for SQLite; the
/// PostgreSQL engine renders the same segments as `$1`, `$2`….
package struct SQL: Sendable, ExpressibleByStringInterpolation {
    /// Text between the binds: always one more than ``binds``.
    package private(set) var segments: [String]
    /// Values in the order of their placeholders.
    package private(set) var binds: [SQLValue]

    package init(stringLiteral value: String) {
        segments = [value]
        binds = []
    }

    package init(stringInterpolation: StringInterpolation) {
        segments = stringInterpolation.segments
        binds = stringInterpolation.binds
    }

    /// The statement with numbered placeholders, which begin with `?` or `$`.
    package func text(placeholder prefix: Character) -> String {
        var text = segments[0]
        for (index, segment) in segments.dropFirst().enumerated() {
            text.append(prefix)
            text.append(String(index + 1))
            text.append(segment)
        }
        return text
    }

    /// Collects the segments and binds of a literal; see ``SQL``.
    package struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var segments = [""]
        fileprivate var binds: [SQLValue] = []

        package init(literalCapacity: Int, interpolationCount: Int) {
            binds.reserveCapacity(interpolationCount)
        }

        /// Appends text of the literal itself.
        package mutating func appendLiteral(_ literal: String) {
            segments[segments.count - 1] += literal
        }

        /// Binds a value.
        package mutating func appendInterpolation(_ value: some SQLBindable) {
            binds.append(value.sqlValue)
            segments.append("")
        }

        /// Binds a value, or NULL for nil.
        package mutating func appendInterpolation(_ value: (some SQLBindable)?) {
            binds.append(value?.sqlValue ?? .null)
            segments.append("")
        }

        /// Inserts SQL text known at compile time.
        package mutating func appendInterpolation(raw text: StaticString) {
            segments[segments.count - 1] += text.description
        }

        /// Inserts another statement with its binds, such as a condition built elsewhere.
        package mutating func appendInterpolation(_ other: SQL) {
            segments[segments.count - 1] += other.segments[0]
            segments += other.segments.dropFirst()
            binds += other.binds
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

/// A type that can be bound.
package protocol SQLBindable {
    var sqlValue: SQLValue { get }
}

extension SQLValue: SQLBindable {
    package var sqlValue: SQLValue { self }
}
extension Int64: SQLBindable {
    package var sqlValue: SQLValue { .integer(self) }
}
extension Int: SQLBindable {
    package var sqlValue: SQLValue { .integer(Int64(self)) }
}
extension Double: SQLBindable {
    package var sqlValue: SQLValue { .double(self) }
}
extension String: SQLBindable {
    package var sqlValue: SQLValue { .text(self) }
}
extension Bool: SQLBindable {
    package var sqlValue: SQLValue { .bool(self) }
}
extension Timestamp: SQLBindable {
    package var sqlValue: SQLValue { .timestamp(self) }
}
extension JSONValue: SQLBindable {
    package var sqlValue: SQLValue { .json(self) }
}
extension Identifier: SQLBindable {
    package var sqlValue: SQLValue { .integer(rawValue) }
}
extension Revision: SQLBindable {
    package var sqlValue: SQLValue { .integer(rawValue) }
}
extension [UInt8]: SQLBindable {
    package var sqlValue: SQLValue { .blob(self) }
}
