/// A JSON document as a value, with the order of object keys kept (RFC 8259).
///
/// Own code instead of Foundation's because both Foundation readers throw on an unpaired surrogate
/// escape, which real issues contain, and lose the hundred good items of the page with it.
package enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    /// A number without fraction or exponent that fits 64 bits.
    case integer(Int64)
    /// Any other number.
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

/// The members of a JSON object in document order; of repeated keys the last one counts.
package struct JSONObject: Sendable, Hashable {
    /// Members in document order, repeated keys included.
    package private(set) var members: [Member]

    /// One key with its value.
    package struct Member: Sendable, Hashable {
        package var key: String
        package var value: JSONValue
    }

    package init() {
        members = []
    }

    /// An object of these members, in this order.
    package init(_ members: [(String, JSONValue)]) {
        self.members = members.map { Member(key: $0.0, value: $0.1) }
    }

    /// The value of `key`, nil when the object has no such member; setting nil removes it.
    ///
    /// Keys are compared by their bytes, as rules and other programs do: `==` calls the kelvin sign
    /// a K.
    package subscript(key: String) -> JSONValue? {
        get { members.last { haveEqualBytes($0.key, key) }?.value }
        set {
            guard let newValue else {
                members.removeAll { haveEqualBytes($0.key, key) }
                return
            }
            if let place = members.lastIndex(where: { haveEqualBytes($0.key, key) }) {
                members[place].value = newValue
            } else {
                append(key: key, value: newValue)
            }
        }
    }

    /// Adds a member without looking for an equal key.
    package mutating func append(key: String, value: JSONValue) {
        members.append(Member(key: key, value: value))
    }

    /// Takes the last member away; nil when there is none.
    @discardableResult
    package mutating func removeLast() -> Member? { members.popLast() }
}

extension JSONValue {
    /// The member `key` when this is an object that has it.
    package subscript(key: String) -> JSONValue? {
        guard case .object(let object) = self else { return nil }
        return object[key]
    }

    /// The element at `index` when this is an array that reaches so far.
    package subscript(index: Int) -> JSONValue? {
        guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
        return elements[index]
    }

    /// The text when this is a string.
    package var string: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    /// The number when this is an integer, or a double that is one exactly.
    package var integer: Int64? {
        switch self {
        case .integer(let value): value
        case .double(let value): Int64(exactly: value)
        case .null, .bool, .string, .array, .object: nil
        }
    }

    /// The number when this is one.
    package var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .double(let value): value
        case .null, .bool, .string, .array, .object: nil
        }
    }

    /// The truth value when this is one.
    package var bool: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    /// The elements when this is an array.
    package var array: [JSONValue]? {
        guard case .array(let value) = self else { return nil }
        return value
    }

    /// The members when this is an object.
    package var object: JSONObject? {
        guard case .object(let value) = self else { return nil }
        return value
    }

    /// Whether this is `null`.
    package var isNull: Bool { self == .null }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(nilLiteral: ()) { self = .null }

    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (key, value) in elements { object.append(key: key, value: value) }
        self = .object(object)
    }
}

extension JSONValue {
    /// A string, or `null` for nil.
    package init(_ text: String?) {
        self = text.map(JSONValue.string) ?? .null
    }

    /// An array of strings.
    package init(_ texts: [String]) {
        self = .array(texts.map(JSONValue.string))
    }
}
