/// The strings extension, which counts places in code points.
enum StringFunctions {
    static func register(in library: inout FunctionLibrary) {
        library.declare(
            """
            string.charAt(int): string
            string.indexOf(string): int
            string.indexOf(string, int): int
            string.lastIndexOf(string): int
            string.lastIndexOf(string, int): int
            string.lowerAscii(): string
            string.upperAscii(): string
            string.replace(string, string): string
            string.replace(string, string, int): string
            string.split(string): list(string)
            string.split(string, int): list(string)
            string.substring(int): string
            string.substring(int, int): string
            string.trim(): string
            string.reverse(): string
            string.format(list(dyn)): string
            list(string).join(): string
            list(string).join(string): string
            strings::quote(string): string
            """
        )
        library.method("charAt", .binary(charAt))
        search(in: &library)
        casing(in: &library)
        library.method("replace", .variadic(count: 3, replace))
        library.method("replace", .variadic(count: 4, replace))
        library.method(
            "split",
            .binary { value, mark, budget throws(EvaluationError) in
                try split([value, mark], &budget)
            }
        )
        library.method("split", .variadic(count: 3, split))
        library.method(
            "substring",
            .binary { value, start, budget throws(EvaluationError) in
                try substring([value, start], &budget)
            }
        )
        library.method("substring", .variadic(count: 3, substring))
        library.method("trim", .unary(trim))
        library.method("reverse", .unary(reverse))
        library.method("format", .binary(TextFormat.format))
        library.method(
            "join",
            .unary { value, budget throws(EvaluationError) in
                try join(value, .string(""), &budget)
            }
        )
        library.method("join", .binary(join))
        library.function("strings.quote", .unary(quote))
    }

    // MARK: - Places

    /// A text by code points, paid for.
    private static func scalars(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> [Unicode.Scalar] {
        let text = try text(value)
        try budget.charge(text.utf8.count / 4)
        return Array(text.unicodeScalars)
    }

    private static func text(_ value: CELValue) throws(EvaluationError) -> String {
        guard case .string(let text) = value else { throw EvaluationError(.noSuchOverload) }
        return text
    }

    private static func text(_ scalars: some Sequence<Unicode.Scalar>) -> CELValue {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return .string(String(view))
    }

    private static func number(_ value: CELValue) throws(EvaluationError) -> Int {
        guard case .int(let value) = value else { throw EvaluationError(.noSuchOverload) }
        return Int(value)
    }

    /// A place in a text, its end included.
    private static func place(
        _ value: CELValue,
        in scalars: [Unicode.Scalar]
    ) throws(EvaluationError) -> Int {
        let place = try number(value)
        guard (0...scalars.count).contains(place) else {
            throw EvaluationError(.indexOutOfRange("\(place)"))
        }
        return place
    }

    @Sendable private static func charAt(
        _ value: CELValue,
        _ index: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let scalars = try scalars(value, &budget)
        let place = try place(index, in: scalars)
        return text(scalars[place..<min(place + 1, scalars.count)])
    }

    @Sendable private static func substring(
        _ arguments: [CELValue],
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let scalars = try scalars(arguments[0], &budget)
        let start = try place(arguments[1], in: scalars)
        let end = arguments.count > 2 ? try place(arguments[2], in: scalars) : scalars.count
        guard start <= end else {
            throw EvaluationError(
                .invalidArgument("invalid substring range. start: \(start), end: \(end)")
            )
        }
        return text(scalars[start..<end])
    }

    // MARK: - Search

    private static func search(in library: inout FunctionLibrary) {
        library.method(
            "indexOf",
            .binary { value, part, budget throws(EvaluationError) in
                try indexOf([value, part], &budget)
            }
        )
        library.method("indexOf", .variadic(count: 3, indexOf))
        library.method(
            "lastIndexOf",
            .binary { value, part, budget throws(EvaluationError) in
                try lastIndexOf([value, part], &budget)
            }
        )
        library.method("lastIndexOf", .variadic(count: 3, lastIndexOf))
    }

    @Sendable private static func indexOf(
        _ arguments: [CELValue],
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let scalars = try scalars(arguments[0], &budget)
        let part = try self.scalars(arguments[1], &budget)
        let start = arguments.count > 2 ? try place(arguments[2], in: scalars) : 0
        var index = start
        while index + part.count <= scalars.count {
            if try occurs(part, at: index, in: scalars, &budget) { return .int(Int64(index)) }
            index += 1
        }
        return .int(-1)
    }

    @Sendable private static func lastIndexOf(
        _ arguments: [CELValue],
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let scalars = try scalars(arguments[0], &budget)
        let part = try self.scalars(arguments[1], &budget)
        let limit = arguments.count > 2 ? try place(arguments[2], in: scalars) : scalars.count
        var index = min(limit, scalars.count - part.count)
        while index >= 0 {
            if try occurs(part, at: index, in: scalars, &budget) { return .int(Int64(index)) }
            index -= 1
        }
        return .int(-1)
    }

    /// Whether a part stands at a place; what is compared is paid for, so that texts made to
    /// nearly match everywhere end.
    private static func occurs(
        _ part: [Unicode.Scalar],
        at index: Int,
        in scalars: [Unicode.Scalar],
        _ budget: inout Budget
    ) throws(EvaluationError) -> Bool {
        var length = 0
        while length < part.count, scalars[index + length] == part[length] { length += 1 }
        try budget.charge(bytes: length * 4)
        return length == part.count
    }

    // MARK: - Case and space

    private static func casing(in library: inout FunctionLibrary) {
        library.method(
            "lowerAscii",
            .unary { value, budget throws(EvaluationError) in
                try mapBytes(value, &budget) { (65...90).contains($0) ? $0 | 0x20 : $0 }
            }
        )
        library.method(
            "upperAscii",
            .unary { value, budget throws(EvaluationError) in
                try mapBytes(value, &budget) { (97...122).contains($0) ? $0 & 0xDF : $0 }
            }
        )
    }

    private static func mapBytes(
        _ value: CELValue,
        _ budget: inout Budget,
        _ transform: (UInt8) -> UInt8
    ) throws(EvaluationError) -> CELValue {
        let text = try text(value)
        try budget.charge(bytes: text.utf8.count)
        return .string(String(decoding: text.utf8.map(transform), as: UTF8.self))
    }

    @Sendable private static func trim(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let scalars = try scalars(value, &budget)
        let head = scalars.prefix { $0.properties.isWhitespace }.count
        let tail = scalars[head...].reversed().prefix { $0.properties.isWhitespace }.count
        return text(scalars[head..<(scalars.count - tail)])
    }

    @Sendable private static func reverse(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        text(try scalars(value, &budget).reversed())
    }

    // MARK: - Parts

    /// Where a part stands, from left to right without overlap; the empty part stands before each
    /// code point and at the end.
    private static func places(
        of part: [Unicode.Scalar],
        in scalars: [Unicode.Scalar],
        limit: Int,
        _ budget: inout Budget
    ) throws(EvaluationError) -> [Int] {
        var places: [Int] = []
        var index = 0
        while index + part.count <= scalars.count, places.count < limit {
            if try occurs(part, at: index, in: scalars, &budget) {
                places.append(index)
                index += max(1, part.count)
            } else {
                index += 1
            }
        }
        return places
    }

    @Sendable private static func replace(
        _ arguments: [CELValue],
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let scalars = try scalars(arguments[0], &budget)
        let part = try self.scalars(arguments[1], &budget)
        let substitute = try self.scalars(arguments[2], &budget)
        let count = arguments.count > 3 ? try number(arguments[3]) : -1
        let limit = count < 0 ? Int.max : count
        let places = try places(of: part, in: scalars, limit: limit, &budget)
        try budget.charge((places.count * substitute.count + scalars.count) / 4)
        var result: [Unicode.Scalar] = []
        var copied = 0
        for place in places {
            result += scalars[copied..<place]
            result += substitute
            copied = place + part.count
        }
        result += scalars[copied...]
        return text(result)
    }

    @Sendable private static func split(
        _ arguments: [CELValue],
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let scalars = try scalars(arguments[0], &budget)
        let mark = try self.scalars(arguments[1], &budget)
        let count = arguments.count > 2 ? try number(arguments[2]) : -1
        if count == 0 { return .list(.values([])) }
        let limit = count < 0 ? Int.max : count - 1
        if count == 1 { return .list(.values([arguments[0]])) }
        var places = try places(of: mark, in: scalars, limit: Int.max, &budget)
        // The empty mark separates code points; it is not found before the first or at the end.
        if mark.isEmpty { places = places.filter { $0 > 0 && $0 < scalars.count } }
        try budget.charge(places.count)
        var parts: [CELValue] = []
        var start = 0
        for place in places.prefix(limit) {
            parts.append(text(scalars[start..<place]))
            start = place + mark.count
        }
        parts.append(text(scalars[start...]))
        return .list(.values(parts))
    }

    @Sendable private static func join(
        _ value: CELValue,
        _ separator: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        guard case .list(let list) = value else { throw EvaluationError(.noSuchOverload) }
        let separator = try text(separator)
        var result = ""
        for index in 0..<list.count {
            let part = try text(list[index])
            try budget.charge(1 + (part.utf8.count + separator.utf8.count) / 16)
            if index > 0 { result += separator }
            result += part
        }
        return .string(result)
    }

    @Sendable private static func quote(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        let text = try text(value)
        try budget.charge(bytes: text.utf8.count * 2)
        var result: [UInt8] = [UInt8(ascii: "\"")]
        for byte in text.utf8 {
            if let mark = escape(byte) {
                result += [UInt8(ascii: "\\"), mark]
            } else {
                result.append(byte)
            }
        }
        result.append(UInt8(ascii: "\""))
        return .string(String(decoding: result, as: UTF8.self))
    }

    private static func escape(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x07: UInt8(ascii: "a")
        case 0x08: UInt8(ascii: "b")
        case 0x0C: UInt8(ascii: "f")
        case 0x0A: UInt8(ascii: "n")
        case 0x0D: UInt8(ascii: "r")
        case 0x09: UInt8(ascii: "t")
        case 0x0B: UInt8(ascii: "v")
        case UInt8(ascii: "\\"), UInt8(ascii: "\""): byte
        default: nil
        }
    }
}
