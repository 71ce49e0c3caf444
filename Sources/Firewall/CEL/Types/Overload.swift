/// One way to call a function: what it takes and what it gives.
package struct Overload: Hashable, Sendable {
    /// Types of the arguments; of a method the receiver's first.
    package let arguments: [CELType]
    package let result: CELType
    /// Whether it is called as a method of its first argument.
    package let isMember: Bool

    package init(arguments: [CELType], result: CELType, isMember: Bool) {
        self.arguments = arguments
        self.result = result
        self.isMember = isMember
    }
}

/// Reads signatures as libraries write them, one a line.
///
///     size(list(A)): int
///     string.contains(string): bool
///     math::abs(double): double
///
/// A capital letter is a type parameter. What stands before the first dot is the receiver's type;
/// `::` separates a function's name from its namespace.
struct SignatureReader {
    private let text: [Character]
    private var index = 0

    private init(_ text: String) {
        self.text = Array(text)
    }

    /// The overloads of each function in `lines`, in order.
    static func overloads(_ lines: String) -> [(name: String, overload: Overload)] {
        lines.split(separator: "\n").compactMap { line in
            var reader = SignatureReader(String(line))
            return reader.signature()
        }
    }

    private mutating func signature() -> (String, Overload)? {
        var receiver: CELType?
        let start = index
        if let type = type(), take(".") {
            receiver = type
        } else {
            index = start
        }
        var name = word()
        while take(":"), take(":") { name += "." + word() }
        precondition(take("("), "a signature without arguments: \(String(text))")
        var arguments = receiver.map { [$0] } ?? []
        while !take(")") {
            guard let argument = type() else { preconditionFailure("in \(String(text))") }
            arguments.append(argument)
            _ = take(",")
        }
        precondition(take(":"), "a signature without a result: \(String(text))")
        guard let result = type() else { preconditionFailure("in \(String(text))") }
        return (name, Overload(arguments: arguments, result: result, isMember: receiver != nil))
    }

    private mutating func type() -> CELType? {
        let name = word()
        var parameters: [CELType] = []
        if let simple = Self.simple[name] { return simple }
        if name.count == 1, let letter = name.first, letter.isUppercase { return .parameter(name) }
        guard ["list", "map", "type", "optional"].contains(name), take("(") else { return nil }
        while !take(")") {
            guard let parameter = type() else { return nil }
            parameters.append(parameter)
            _ = take(",")
        }
        switch (name, parameters.count) {
        case ("list", 1): return .list(parameters[0])
        case ("map", 2): return .map(parameters[0], parameters[1])
        case ("type", 1): return .type(parameters[0])
        case ("optional", 1): return .optional(parameters[0])
        default: return nil
        }
    }

    private static let simple: [String: CELType] = [
        "dyn": .dyn, "null": .null, "bool": .bool, "int": .int, "uint": .uint,
        "double": .double, "string": .string, "bytes": .bytes, "timestamp": .timestamp,
        "duration": .duration, "IP": .address, "CIDR": .network,
    ]

    private mutating func word() -> String {
        skipSpace()
        let start = index
        while index < text.count, !"(),.: ".contains(text[index]) { index += 1 }
        return String(text[start..<index])
    }

    private mutating func take(_ character: Character) -> Bool {
        skipSpace()
        guard index < text.count, text[index] == character else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while index < text.count, text[index] == " " { index += 1 }
    }
}
