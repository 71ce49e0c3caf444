import Domain
import Firewall

/// What an expression comes to, as text: a typed value's JSON, or the error behind `error:`.
func evaluated(
    _ source: String,
    _ bindings: KeyValuePairs<String, CELValue> = [:],
    checksTypes: Bool = true,
    container: String = "",
    budget: Budget = Budget()
) -> String {
    let environment = CELEnvironment(
        variables: bindings.map { CELEnvironment.Variable($0.key) },
        container: container
    )
    do {
        let program = try CELProgram.compile(source, in: environment, checksTypes: checksTypes)
        var values = CELBindings(for: environment)
        for (place, binding) in bindings.enumerated() { values[place] = binding.value }
        var budget = budget
        let value = try program.evaluate(values, budget: &budget)
        return plain(try TypedValue.json(value, &budget))
    } catch let error as CompilationError {
        return "refused: \(error)"
    } catch {
        return "error: \(error)"
    }
}

/// A typed value as its author would write it: `1`, `2u`, `"a"`, `[true]`.
private func plain(_ value: JSONValue) -> String {
    let content = value["v"] ?? .null
    switch value["t"]?.string {
    case "null": return "null"
    case "bool": return content.bool == true ? "true" : "false"
    case "int", "double": return content.string ?? "?"
    case "uint": return (content.string ?? "?") + "u"
    case "string": return content.serializedText()
    case "list": return "[" + (content.array ?? []).map(plain).joined(separator: ", ") + "]"
    case "map":
        let entries = (content.array ?? []).map { entry in
            entry.array.map { "\(plain($0[0])): \(plain($0[1]))" } ?? "?"
        }
        return "{" + entries.joined(separator: ", ") + "}"
    case "optional":
        return value["v"].map { "optional(\(plain($0)))" } ?? "optional()"
    case let type: return "\(type ?? "?") \(content.serializedText())"
    }
}
