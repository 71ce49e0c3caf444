package import Domain

/// Values with their types as JSON, for conversations with other programs.
///
/// An integer is `{"t": "int", "v": "1"}`. Numbers are text, so that nothing is rounded on the way.
package enum TypedValue {
    /// The value a document describes; nil when it describes none.
    package static func value(_ json: JSONValue) -> CELValue? {
        let content = json["v"] ?? .null
        switch json["t"]?.string {
        case "null": return .null
        case "bool": return content.bool.map(CELValue.bool)
        case "int": return content.string.flatMap { Int64($0) }.map(CELValue.int)
        case "uint": return content.string.flatMap { UInt64($0) }.map(CELValue.uint)
        case "double": return content.string.flatMap(double).map(CELValue.double)
        case "string": return content.string.map(CELValue.string)
        case "bytes": return content.string.flatMap(Base64.decode).map(CELValue.bytes)
        case "list": return content.array.flatMap(list)
        case "map": return content.array.flatMap(map)
        case "type": return content.string.map(CELValue.type)
        case "timestamp":
            guard let (seconds, nanoseconds) = time(content),
                let value = CELTimestamp(seconds: seconds, nanoseconds: nanoseconds)
            else { return nil }
            return .timestamp(value)
        case "duration":
            guard let (seconds, nanoseconds) = time(content),
                let value = CELDuration(seconds: seconds, nanoseconds: Int64(nanoseconds))
            else { return nil }
            return .duration(value)
        default: return nil
        }
    }

    private static func list(_ elements: [JSONValue]) -> CELValue? {
        let values = elements.compactMap(value)
        return values.count == elements.count ? .list(.values(values)) : nil
    }

    private static func map(_ entries: [JSONValue]) -> CELValue? {
        var builder = CELEntries.Builder(capacity: entries.count)
        // A document is as long as it is; what it holds has been read already.
        var budget = Budget(.max)
        for entry in entries {
            guard let key = entry[0].flatMap(value), let held = entry[1].flatMap(value),
                (try? builder.insert(key, held, &budget)) != nil
            else { return nil }
        }
        return .map(.entries(builder.finish()))
    }

    private static func double(_ text: String) -> Double? {
        switch text {
        case "Infinity": .infinity
        case "-Infinity": -.infinity
        case "NaN": .nan
        default: Double(text)
        }
    }

    private static func time(_ json: JSONValue) -> (Int64, Int32)? {
        guard let seconds = json["seconds"]?.string.flatMap({ Int64($0) }) else { return nil }
        let nanoseconds = json["nanos"]?.integer ?? 0
        return Int32(exactly: nanoseconds).map { (seconds, $0) }
    }

    // MARK: - Writing

    /// A value as a document.
    ///
    /// The budget pays for what is written: a small value may hold another a million times over.
    package static func json(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> JSONValue {
        try budget.charge()
        switch value {
        case .null: return ["t": "null"]
        case .bool(let value): return typed("bool", .bool(value))
        case .int(let value): return typed("int", .string(String(value)))
        case .uint(let value): return typed("uint", .string(String(value)))
        case .double(let value): return typed("double", .string(text(value)))
        case .string(let value):
            try budget.charge(bytes: value.utf8.count)
            return typed("string", .string(value))
        case .bytes(let value):
            try budget.charge(bytes: value.count)
            return typed("bytes", .string(Base64.encode(value)))
        case .type(let name): return typed("type", .string(name))
        case .timestamp(let time):
            return typed("timestamp", parts(time.seconds, time.nanoseconds))
        case .duration(let span):
            return typed("duration", parts(span.seconds, span.nanoseconds))
        case .address(let address): return typed("net.IP", .string(address.description))
        case .network(let network): return typed("net.CIDR", .string(network.description))
        case .optional(let optional):
            guard let held = optional.value else { return ["t": "optional"] }
            return typed("optional", try json(held, &budget))
        case .list(let list):
            var elements: [JSONValue] = []
            for index in 0..<list.count {
                elements.append(try json(list[index], &budget))
            }
            return typed("list", .array(elements))
        case .map(let map):
            try budget.charge(map.readingCost)
            let entries = map.entries
            var pairs: [JSONValue] = []
            for index in entries.keys.indices {
                let key = try json(entries.keys[index], &budget)
                let held = try json(entries.values[index], &budget)
                pairs.append(.array([key, held]))
            }
            return typed("map", .array(pairs))
        }
    }

    private static func typed(_ type: String, _ value: JSONValue) -> JSONValue {
        ["t": .string(type), "v": value]
    }

    private static func parts(_ seconds: Int64, _ nanoseconds: Int32) -> JSONValue {
        ["seconds": .string(String(seconds)), "nanos": .integer(Int64(nanoseconds))]
    }

    private static func text(_ value: Double) -> String {
        value.isFinite ? String(value) : NumberText.formatted(special: value)
    }
}
