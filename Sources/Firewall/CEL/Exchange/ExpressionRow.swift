package import Domain

/// An expression with its bindings as one line of JSON, and the answer to it.
///
/// The line has `expr`, and may have `id`, `bindings` (name to typed value), `type_env` (declared
/// variables and functions), `container`, `disable_check`, `disable_macros` and `check_only`. The
/// answer has the `id` and one of `value`, `type` and `error`.
package enum ExpressionRow {
    /// The answer to a line.
    package static func answer(_ line: [UInt8]) -> JSONValue {
        let row: JSONValue
        do throws(JSONError) {
            row = try JSONParser.parse(line)
        } catch {
            return ["id": .null, "error": .string(error.description)]
        }
        var answer: JSONValue = ["id": row["id"] ?? .null]
        if case .object(var object) = answer {
            let (key, value) = result(row)
            object.append(key: key, value: value)
            answer = .object(object)
        }
        return answer
    }

    private static func result(_ row: JSONValue) -> (key: String, value: JSONValue) {
        guard let source = row["expr"]?.string else {
            return ("error", "a row without `expr`")
        }
        guard let (environment, bindings) = environment(row) else {
            return ("error", "declarations or bindings that cannot be read")
        }
        let program: CELProgram
        do throws(CompilationError) {
            program = try CELProgram.compile(
                source,
                in: environment,
                checksTypes: row["disable_check"]?.bool != true,
                expandsMacros: row["disable_macros"]?.bool != true
            )
        } catch {
            return ("error", .string(error.description))
        }
        if row["check_only"]?.bool == true { return ("type", TypedType.json(program.type)) }
        do throws(EvaluationError) {
            var budget = Budget()
            let value = try program.evaluate(bindings, budget: &budget)
            return ("value", try TypedValue.json(value, &budget))
        } catch {
            return ("error", .string(error.description))
        }
    }

    private static func environment(_ row: JSONValue) -> (CELEnvironment, CELBindings)? {
        var variables: [CELEnvironment.Variable] = []
        var functions: [String: [Overload]] = [:]
        for declaration in row["type_env"]?.array ?? [] {
            guard let name = declaration["name"]?.string else { return nil }
            if declaration["kind"]?.string == "function" {
                guard let overloads = overloads(declaration) else { return nil }
                functions[name, default: []] += overloads
            } else {
                guard let type = declaration["type"].flatMap(TypedType.type) else { return nil }
                variables.append(CELEnvironment.Variable(name, type))
            }
        }
        let members = row["bindings"]?.object?.members ?? []
        if row["disable_check"]?.bool == true {
            // Without a checker every bound name may be used, declared or not.
            let declared = Set(variables.map(\.name))
            for member in members where !declared.contains(member.key) {
                variables.append(CELEnvironment.Variable(member.key))
            }
        }
        let environment = CELEnvironment(
            variables: variables,
            functions: functions,
            container: row["container"]?.string ?? ""
        )
        var bindings = CELBindings(for: environment)
        for member in members {
            guard let value = TypedValue.value(member.value) else { return nil }
            guard let place = variables.lastIndex(where: { $0.name == member.key }) else {
                continue
            }
            bindings[place] = value
        }
        return (environment, bindings)
    }

    private static func overloads(_ declaration: JSONValue) -> [Overload]? {
        var overloads: [Overload] = []
        for overload in declaration["overloads"]?.array ?? [] {
            let arguments = overload["args"]?.array ?? []
            let types = arguments.compactMap(TypedType.type)
            guard types.count == arguments.count,
                let result = overload["result"].flatMap(TypedType.type)
            else { return nil }
            overloads.append(
                Overload(
                    arguments: types,
                    result: result,
                    isMember: overload["member"]?.bool ?? false
                )
            )
        }
        return overloads
    }
}
