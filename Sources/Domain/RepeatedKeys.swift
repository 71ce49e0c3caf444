extension JSONObject {
    /// The same without repeated keys at any depth, of which programs read different ones.
    ///
    /// The last of them counts, as everywhere here; keys are compared by their bytes.
    package var withoutRepeatedKeys: JSONObject { hasRepeatedKeys ? deduplicated : self }

    /// Longer objects are looked through by a set, which costs as much as so many comparisons.
    private static let pairwise = 8

    /// Whether a key stands twice in the object or in one inside of it.
    fileprivate var hasRepeatedKeys: Bool {
        let isRepeated: Bool
        if members.count > Self.pairwise {
            isRepeated = Set(members.map { Array($0.key.utf8) }).count < members.count
        } else {
            isRepeated = members.indices.contains { place in
                members[..<place].contains { haveEqualBytes($0.key, members[place].key) }
            }
        }
        return isRepeated || members.contains { $0.value.hasRepeatedKeys }
    }

    fileprivate var deduplicated: JSONObject {
        var last: [[UInt8]: Int] = [:]
        for (place, member) in members.enumerated() { last[Array(member.key.utf8)] = place }
        var result = JSONObject()
        for (place, member) in members.enumerated()
        where last[Array(member.key.utf8)] == place {
            result.append(key: member.key, value: member.value.deduplicated)
        }
        return result
    }
}

extension JSONValue {
    fileprivate var hasRepeatedKeys: Bool {
        switch self {
        case .array(let elements): elements.contains { $0.hasRepeatedKeys }
        case .object(let object): object.hasRepeatedKeys
        case .null, .bool, .integer, .double, .string: false
        }
    }

    fileprivate var deduplicated: JSONValue {
        switch self {
        case .array(let elements): .array(elements.map(\.deduplicated))
        case .object(let object): .object(object.deduplicated)
        case .null, .bool, .integer, .double, .string: self
        }
    }
}
