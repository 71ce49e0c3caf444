import Crypto
import Domain
import Foundation

/// The one form of a row that both engines give: a line of JSON.
///
/// A digest over these lines says whether two tables hold the same, whatever engines they are in.
/// Documents are written with sorted keys and numbers in one form, because PostgreSQL keeps neither
/// the order of keys nor the way a number was written.
enum CanonicalRow {
    /// The line of a row, its final newline included.
    static func line(_ values: [SQLValue]) -> [UInt8] {
        JSONValue.array(values.map(json)).serialized(sortedKeys: true) + [UInt8(ascii: "\n")]
    }

    private static func json(_ value: SQLValue) -> JSONValue {
        switch value {
        case .null: .null
        case .integer(let number): .integer(number)
        case .double(let number): .double(number)
        case .text(let text): .string(text)
        case .blob(let bytes): .string(Data(bytes).base64EncodedString())
        case .bool(let flag): .bool(flag)
        case .timestamp(let instant): .integer(instant.milliseconds)
        case .json(let document): canonical(document)
        }
    }

    /// A document in the form that outlives a way through either engine.
    static func canonical(_ document: JSONValue) -> JSONValue {
        switch document {
        case .null, .bool, .integer: return document
        case .double(let number):
            // `1.0` and `1` are one number; beyond 2^53 a double is no exact integer anyway.
            guard number == number.rounded(), abs(number) < 9_007_199_254_740_992
            else { return document }
            return .integer(Int64(number))
        case .string(let text): return .string(sanitized(text))
        case .array(let elements): return .array(elements.map(canonical))
        case .object(let object):
            var members: [String: JSONValue] = [:]
            // Of equal keys the last counts, as jsonb has it.
            for member in object.members {
                members[sanitized(member.key)] = canonical(member.value)
            }
            var sorted = JSONObject()
            let keys = members.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            for key in keys {
                guard let value = members[key] else { continue }
                sorted.append(key: key, value: value)
            }
            return .object(sorted)
        }
    }

    /// Reads the values of a line; nil when it is not a row of these columns.
    static func values(
        _ line: [UInt8],
        columns: [SchemaCatalog.Column]
    ) -> [SQLValue]? {
        guard let elements = (try? JSONParser.parse(line))?.array,  // Whatever it is, it is no row.
            elements.count == columns.count
        else { return nil }
        var values: [SQLValue] = []
        values.reserveCapacity(columns.count)
        for (element, column) in zip(elements, columns) {
            guard let value = value(element, column.kind) else { return nil }
            values.append(value)
        }
        return values
    }

    private static func value(_ element: JSONValue, _ kind: SQLKind) -> SQLValue? {
        if case .null = element, kind != .json { return .null }
        switch kind {
        case .integer: return element.integer.map(SQLValue.integer)
        case .double:
            switch element {
            case .double(let number): return .double(number)
            case .integer(let number): return .double(Double(number))
            default: return nil
            }
        case .text: return element.string.map(SQLValue.text)
        case .blob:
            guard let text = element.string, let data = Data(base64Encoded: text)
            else { return nil }
            return .blob([UInt8](data))
        case .bool: return element.bool.map(SQLValue.bool)
        case .timestamp:
            return element.integer.map { .timestamp(Timestamp(milliseconds: $0)) }
        // No column of documents is without a value; `null` is a document.
        case .json: return .json(element)
        case .unknown: return nil
        }
    }
}

/// The number of a table's rows and what they are.
package struct TableDigest: Sendable, Equatable {
    /// The table.
    package var name: String
    /// How many rows it has.
    package var rows: Int
    /// SHA-256 over the rows' lines in the order of the primary key, in hexadecimal digits.
    package var sha256: String
}

/// Adds up a ``TableDigest``.
struct TableDigester {
    private var hash = SHA256()
    private var rows = 0

    mutating func add(_ line: [UInt8]) {
        hash.update(data: line)
        rows += 1
    }

    func digest(of name: String) -> TableDigest {
        TableDigest(name: name, rows: rows, sha256: hexadecimal(hash.finalize()))
    }
}
