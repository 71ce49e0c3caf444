/// What expressions may refer to: variables with their types, functions, and the namespace in which
/// names are looked up.
package struct CELEnvironment: Sendable {
    /// A variable's name and type.
    package struct Variable: Sendable, Hashable {
        package let name: String
        package let type: CELType

        package init(_ name: String, _ type: CELType = .dyn) {
            self.name = name
            self.type = type
        }
    }

    /// The namespace of the expressions, `a.b`; empty for none.
    package let container: String
    /// Variables in the order of their places in bindings.
    package let variables: [Variable]
    private let places: [String: Int]
    private let declared: [String: [Overload]]

    /// An environment.
    ///
    /// - Parameters:
    ///   - variables: Variables; of two with one name the last counts.
    ///   - functions: Overloads of functions that the checker knows beyond the library; calls of
    ///     them fail when they run.
    ///   - container: The namespace in which names are looked up first.
    package init(
        variables: [Variable],
        functions: [String: [Overload]] = [:],
        container: String = ""
    ) {
        self.variables = variables
        self.container = container
        declared = functions
        var places: [String: Int] = [:]
        for (place, variable) in variables.enumerated() { places[variable.name] = place }
        self.places = places
    }

    // MARK: - Names

    /// What a name means.
    enum Meaning {
        case variable(Int)
        case typeName(String)
    }

    /// What a name means and its type; nil when it is not declared.
    func resolve(_ name: String, isAbsolute: Bool) -> (meaning: Meaning, type: CELType)? {
        for candidate in candidates(name, isAbsolute: isAbsolute) {
            if let place = places[candidate] {
                return (.variable(place), variables[place].type)
            }
            if let type = Self.typeNames[candidate] { return (.typeName(candidate), .type(type)) }
        }
        return nil
    }

    /// A function by its name in the container; nil when there is none.
    func function(
        _ name: String,
        isAbsolute: Bool
    ) -> (name: String, overloads: [Overload])? {
        for candidate in candidates(name, isAbsolute: isAbsolute) {
            if let overloads = overloads(named: candidate) { return (candidate, overloads) }
        }
        return nil
    }

    /// All overloads with exactly this name.
    func overloads(named name: String) -> [Overload]? {
        let standard = FunctionLibrary.standard.overloads[name]
        guard let more = declared[name] else { return standard }
        return (standard ?? []) + more
    }

    /// The names that may be meant, best first: `a.b.x`, `a.x`, `x` in the container `a.b`.
    private func candidates(_ name: String, isAbsolute: Bool) -> [String] {
        guard !isAbsolute, !container.isEmpty else { return [name] }
        var names: [String] = []
        var prefix = container[...]
        while !prefix.isEmpty {
            names.append("\(prefix).\(name)")
            prefix = prefix.lastIndex(of: ".").map { prefix[..<$0] } ?? ""
        }
        return names + [name]
    }

    private static let typeNames: [String: CELType] = [
        "bool": .bool, "int": .int, "uint": .uint, "double": .double, "string": .string,
        "bytes": .bytes, "list": .list(.dyn), "map": .map(.dyn, .dyn), "null_type": .null,
        "type": .type(.dyn), "google.protobuf.Timestamp": .timestamp,
        "google.protobuf.Duration": .duration, "optional_type": .optional(.dyn),
        "net.IP": .address, "net.CIDR": .network,
    ]
}
