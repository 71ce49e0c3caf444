import Domain

/// Object identifiers of types, as `pg_type.dat` of PostgreSQL fixes them for all time.
enum PostgresType {
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let char: UInt32 = 18
    static let name: UInt32 = 19
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let json: UInt32 = 114
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let unknown: UInt32 = 705
    static let bpchar: UInt32 = 1042
    static let varchar: UInt32 = 1043
    static let timestamp: UInt32 = 1114
    static let timestamptz: UInt32 = 1184
    static let void: UInt32 = 2278
    static let jsonb: UInt32 = 3802

    /// The type a bind is declared as; 0 lets the server find out.
    static func of(_ kind: SQLKind) -> UInt32 {
        switch kind {
        case .unknown: 0
        case .integer: int8
        case .double: float8
        case .text: text
        case .blob: bytea
        case .bool: bool
        case .timestamp: timestamptz
        case .json: jsonb
        }
    }

    /// The type of an array of such values; arrays of values of unknown type are texts.
    static func array(of kind: SQLKind) -> UInt32 {
        switch kind {
        case .integer: 1016
        case .double: 1022
        case .text, .unknown: 1009
        case .blob: 1001
        case .bool: 1000
        case .timestamp: 1185
        case .json: 3807
        }
    }
}

/// Binds in PostgreSQL's binary forms, one after the other in one run of bytes.
struct PostgresBinds {
    /// PostgreSQL refuses a field of 1 GB; far below it, as on SQLite.
    static let maximumValueBytes = 500_000_000
    /// Milliseconds from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
    static let epochMilliseconds: Int64 = 946_684_800_000

    /// All values.
    private(set) var bytes: [UInt8] = []
    /// Where each value is; nil for NULL.
    private(set) var ranges: [Range<Int>?] = []

    /// For a statement without binds.
    static let none = PostgresBinds()

    private init() {
        bytes = [0]
    }

    init(_ values: [SQLValue], table: SQLTable? = nil) throws(StoreError) {
        ranges.reserveCapacity(values.count + (table?.kinds.count ?? 0))
        for value in values {
            let start = bytes.count
            ranges.append(try append(value) ? start..<bytes.count : nil)
        }
        if let table {
            for (column, kind) in table.kinds.enumerated() {
                let start = bytes.count
                try append(table.column(column), kind)
                ranges.append(start..<bytes.count)
            }
        }
        // A pointer to an empty value must point somewhere.
        bytes.append(0)
    }

    /// Numbers as a `bigint[]`, for a bind among others.
    static func array(of numbers: some Collection<Int64>) -> [UInt8] {
        var binds = PostgresBinds()
        binds.bytes = []
        binds.bytes.reserveCapacity(20 + numbers.count * 12)
        binds.beginArray(of: PostgresType.int8, count: numbers.count, hasNull: false)
        for number in numbers {
            binds.append(UInt32(8))
            binds.append(UInt64(bitPattern: number))
        }
        return binds.bytes
    }

    /// An array of one dimension, as `array_recv` reads it.
    private mutating func append(_ values: [SQLValue], _ kind: SQLKind) throws(StoreError) {
        let type = kind == .unknown ? PostgresType.text : PostgresType.of(kind)
        beginArray(of: type, count: values.count, hasNull: values.contains(.null))
        for value in values {
            let place = bytes.count
            // The length is known afterwards; -1 is NULL.
            append(UInt32.max)
            guard try append(value) else { continue }
            let length = UInt32(truncatingIfNeeded: bytes.count - place - 4)
            for shift in 0..<4 {
                bytes[place + shift] = UInt8(truncatingIfNeeded: length >> UInt32(24 - shift * 8))
            }
        }
    }

    /// What stands before the elements: dimensions, whether one is NULL, their type, how many, the
    /// first one's number.
    private mutating func beginArray(of type: UInt32, count: Int, hasNull: Bool) {
        append(UInt32(1))
        append(UInt32(hasNull ? 1 : 0))
        append(type)
        append(UInt32(truncatingIfNeeded: count))
        append(UInt32(1))
    }

    private mutating func append(_ bits: UInt32) {
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(shift)))
        }
    }

    /// False for NULL, of which nothing is appended.
    private mutating func append(_ value: SQLValue) throws(StoreError) -> Bool {
        let start = bytes.count
        switch value {
        case .null: return false
        case .integer(let number): append(UInt64(bitPattern: number))
        case .double(let number): append(number.bitPattern)
        case .bool(let flag): bytes.append(flag ? 1 : 0)
        case .timestamp(let instant): append(try Self.microseconds(instant))
        case .text(let text): bytes.append(contentsOf: sanitized(text).utf8)
        case .json(let json):
            // The version of jsonb's binary form.
            bytes.append(1)
            bytes.append(contentsOf: Self.withoutNUL(json).serialized())
        case .blob(let blob): bytes.append(contentsOf: blob)
        }
        guard bytes.count - start <= Self.maximumValueBytes else {
            throw .statement(detail: "a value of \(bytes.count - start) bytes")
        }
        return true
    }

    /// In network byte order.
    private mutating func append(_ bits: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
    }

    private static func microseconds(_ instant: Timestamp) throws(StoreError) -> UInt64 {
        let (shifted, low) = instant.milliseconds.subtractingReportingOverflow(epochMilliseconds)
        let (product, high) = shifted.multipliedReportingOverflow(by: 1000)
        guard !low, !high else { throw .statement(detail: "an instant beyond all calendars") }
        return UInt64(bitPattern: product)
    }

    /// jsonb, like text, has no NUL.
    private static func withoutNUL(_ json: JSONValue) -> JSONValue {
        switch json {
        case .null, .bool, .integer, .double: return json
        case .string(let text): return .string(sanitized(text))
        case .array(let elements): return .array(elements.map(withoutNUL))
        case .object(let object):
            var clean = JSONObject()
            for member in object.members {
                clean.append(key: sanitized(member.key), value: withoutNUL(member.value))
            }
            return .object(clean)
        }
    }
}

extension SQLValue {
    /// Reads a field in PostgreSQL's binary form; a type we do not know comes back as its bytes.
    init(type: UInt32, bytes: RawSpan) throws(StoreError) {
        switch type {
        case PostgresType.int8: self = .integer(Int64(bitPattern: try Self.bits(bytes, count: 8)))
        case PostgresType.int4:
            let bits = UInt32(truncatingIfNeeded: try Self.bits(bytes, count: 4))
            self = .integer(Int64(Int32(bitPattern: bits)))
        case PostgresType.int2:
            let bits = UInt16(truncatingIfNeeded: try Self.bits(bytes, count: 2))
            self = .integer(Int64(Int16(bitPattern: bits)))
        case PostgresType.float8: self = .double(Double(bitPattern: try Self.bits(bytes, count: 8)))
        case PostgresType.float4:
            let bits = UInt32(truncatingIfNeeded: try Self.bits(bytes, count: 4))
            self = .double(Double(Float(bitPattern: bits)))
        case PostgresType.bool: self = .bool(try Self.bits(bytes, count: 1) != 0)
        case PostgresType.timestamptz, PostgresType.timestamp:
            let microseconds = Int64(bitPattern: try Self.bits(bytes, count: 8))
            // Rounded down: what we store has whole milliseconds. The ends of the range are the
            // database's infinities.
            let (whole, rest) = microseconds.quotientAndRemainder(dividingBy: 1000)
            let milliseconds = rest < 0 ? whole - 1 : whole
            self = .timestamp(
                Timestamp(milliseconds: milliseconds + PostgresBinds.epochMilliseconds)
            )
        case PostgresType.text, PostgresType.varchar, PostgresType.bpchar, PostgresType.name,
            PostgresType.char, PostgresType.unknown, PostgresType.json:
            self = .text(Self.text(bytes, from: 0))
        case PostgresType.jsonb: self = .text(Self.text(bytes, from: 1))
        case PostgresType.void: self = .null
        default: self = .blob(Self.copy(bytes))
        }
    }

    private static func bits(_ bytes: RawSpan, count: Int) throws(StoreError) -> UInt64 {
        guard bytes.byteCount == count else { throw .unexpectedValue(column: "a binary number") }
        var bits: UInt64 = 0
        for place in 0..<count {
            bits =
                bits << 8 | UInt64(unsafe bytes.unsafeLoad(fromByteOffset: place, as: UInt8.self))
        }
        return bits
    }

    private static func text(_ bytes: RawSpan, from start: Int) -> String {
        unsafe bytes.withUnsafeBytes { buffer in
            unsafe String(decoding: buffer.dropFirst(start), as: UTF8.self)
        }
    }

    private static func copy(_ bytes: RawSpan) -> [UInt8] {
        unsafe bytes.withUnsafeBytes { buffer in unsafe [UInt8](buffer) }
    }
}
