package import Domain

/// A map: entries in the order they were written, or the members of a JSON object.
package enum CELMap: Sendable {
    case entries(CELEntries)
    case json(JSONObject)

    /// The map without entries.
    package static let empty = CELMap.entries(CELEntries(keys: [], values: []))

    /// Whether there is no entry.
    var isEmpty: Bool {
        switch self {
        case .entries(let entries): entries.keys.isEmpty
        case .json(let object): object.members.isEmpty
        }
    }

    /// The entries; of repeated keys of a JSON object the last one counts.
    package var entries: CELEntries {
        switch self {
        case .entries(let entries):
            return entries
        case .json(let object):
            var builder = CELEntries.Builder(capacity: object.members.count)
            for member in object.members {
                builder.set(.string(member.key), to: CELValue(member.value))
            }
            return builder.finish()
        }
    }

    /// The value of a string key.
    package func value(named name: String) -> CELValue? {
        switch self {
        case .entries(let entries): entries.value(of: .text(ByteText(name)))
        case .json(let object): object.value(named: name).map(CELValue.init)
        }
    }

    /// The value of a key; nil when there is none, or when such a value cannot be a key.
    package func value(of key: CELValue) -> CELValue? {
        if case .string(let name) = key { return value(named: name) }
        guard case .entries(let entries) = self, let key = CELKey(key) else { return nil }
        return entries.value(of: key)
    }
}

extension JSONObject {
    /// The member whose key has the bytes of `name`; Swift's own comparison takes canonically
    /// equivalent keys for one.
    func value(named name: String) -> JSONValue? {
        let members = self.members
        var index = members.count
        while index > 0 {
            index -= 1
            if members[index].key.hasBytes(of: name) { return members[index].value }
        }
        return nil
    }
}

/// The entries of a map in their order, with an index when there are many.
package final class CELEntries: Sendable {
    /// Keys in order.
    package let keys: [CELValue]
    /// The value of each key.
    package let values: [CELValue]
    /// Where a key is; nil for short maps, which are faster to look through.
    private let places: [CELKey: Int]?

    /// Longer maps are indexed: a hash costs about as much as eight comparisons.
    private static let linearLimit = 8

    /// Entries with keys that are known to be different and fit for keys.
    package init(keys: [CELValue], values: [CELValue]) {
        self.keys = keys
        self.values = values
        if keys.count > Self.linearLimit {
            var places: [CELKey: Int] = [:]
            places.reserveCapacity(keys.count)
            for (place, key) in keys.enumerated() {
                if let key = CELKey(key) { places[key] = place }
            }
            self.places = places
        } else {
            places = nil
        }
    }

    private init(keys: [CELValue], values: [CELValue], places: [CELKey: Int]) {
        self.keys = keys
        self.values = values
        self.places = keys.count > Self.linearLimit ? places : nil
    }

    /// The value of a key.
    func value(of key: CELKey) -> CELValue? {
        if let places {
            return places[key].map { values[$0] }
        }
        for place in keys.indices where CELKey(keys[place]) == key { return values[place] }
        return nil
    }

    /// Collects entries; a key that is there already can be seen or replaced.
    struct Builder {
        private var keys: [CELValue] = []
        private var values: [CELValue] = []
        private var places: [CELKey: Int] = [:]

        init(capacity: Int) {
            keys.reserveCapacity(capacity)
            values.reserveCapacity(capacity)
            places.reserveCapacity(capacity)
        }

        /// Adds an entry; false, without a change, when the key is there already.
        mutating func insert(_ key: CELValue, as place: CELKey, value: CELValue) -> Bool {
            guard places.updateValue(keys.count, forKey: place) == nil else { return false }
            keys.append(key)
            values.append(value)
            return true
        }

        /// Adds an entry or replaces its value.
        mutating func set(_ key: CELValue, to value: CELValue) {
            guard let place = CELKey(key) else { return }
            if let there = places[place] {
                values[there] = value
            } else {
                places[place] = keys.count
                keys.append(key)
                values.append(value)
            }
        }

        func finish() -> CELEntries {
            CELEntries(keys: keys, values: values, places: places)
        }
    }
}

/// A map key as it is compared: numbers by what they are worth, text by its bytes.
enum CELKey: Hashable, Sendable {
    case bool(Bool)
    case int(Int64)
    /// Only what does not fit `int`.
    case uint(UInt64)
    case text(ByteText)

    /// The key a value stands for; nil for values that equal no key.
    init?(_ value: CELValue) {
        switch value {
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(value)
        case .uint(let value): self.init(value)
        case .double(let value):
            if let whole = Int64(exactly: value) {
                self = .int(whole)
            } else if let whole = UInt64(exactly: value) {
                self = .uint(whole)
            } else {
                return nil
            }
        case .string(let value): self = .text(ByteText(value))
        case .null, .bytes, .list, .map, .timestamp, .duration, .type, .optional, .address,
            .network:
            return nil
        }
    }

    private init(_ value: UInt64) {
        if let fitting = Int64(exactly: value) {
            self = .int(fitting)
        } else {
            self = .uint(value)
        }
    }
}
