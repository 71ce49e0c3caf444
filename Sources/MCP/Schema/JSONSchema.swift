package import Domain

/// A JSON Schema 2020-12, compiled: the part of it that arguments of tools are described with.
///
/// Read are `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`,
/// `minProperties`, `maxProperties`, `items`, `minItems`, `maxItems`, `uniqueItems`, `minLength`,
/// `maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`,
/// `allOf`, `anyOf`, `oneOf`, `not`, and `$ref` to `$defs` of the same document. Annotations are
/// passed over. Everything else is refused when the schema is compiled, never ignored: a rule that
/// is not looked at would let through what it forbids. Nothing is ever fetched.
package struct JSONSchema: Sendable {
    /// What a schema may cost; it may come from a stranger's server.
    package struct Limits: Sendable, Equatable {
        /// Schemas in schemas.
        package var depth = 32
        /// All schemas of a document, references included each time they are used.
        package var nodes = 2_000

        package init() {}
    }

    /// Why a document is no schema that can be used.
    package enum CompilationError: Error, Equatable, Sendable {
        case notASchema(path: String)
        case unsupportedDialect(String)
        case unsupported(keyword: String, path: String)
        case invalid(keyword: String, path: String)
        case unresolved(reference: String)
        case tooDeep(limit: Int)
        case tooLarge(limit: Int)
    }

    let root: Node

    /// One schema of the document.
    indirect enum Node: Sendable {
        /// `true` or `{}`: everything; `false`: nothing.
        case boolean(Bool)
        case rules(Rules)
    }

    /// The rules of a schema; nil and empty say nothing.
    struct Rules: Sendable {
        var types: [JSONType] = []
        /// Whether null passes, whatever else is said.
        var passesNull = false
        var values: [JSONValue]?
        var properties: [(name: String, schema: Node)] = []
        var required: [String] = []
        var additional: Node?
        var propertyCount = CountRange()
        var items: Node?
        var itemCount = CountRange()
        var areItemsUnique = false
        var length = CountRange()
        var minimum: Double?
        var maximum: Double?
        var exclusiveMinimum: Double?
        var exclusiveMaximum: Double?
        var multipleOf: Double?
        var all: [Node] = []
        var any: [Node] = []
        var one: [Node] = []
        var not: Node?
        /// What the value is for, to say when it is missing.
        var summary: String?
    }

    /// How many there may be.
    struct CountRange: Sendable {
        var minimum: Int?
        var maximum: Int?
    }

    /// A schema that lets everything through.
    package static let anything = JSONSchema(root: .boolean(true))

    init(root: Node) {
        self.root = root
    }

    /// Compiles a schema.
    ///
    /// - Throws: ``CompilationError`` for what is no schema or has rules that are not read.
    package init(_ document: JSONValue, limits: Limits = Limits()) throws(CompilationError) {
        var compiler = SchemaCompiler(document: document, limits: limits)
        root = try compiler.node(document, path: "#", depth: 0)
    }
}

extension JSONSchema.CompilationError: CustomStringConvertible {
    /// One line: what and where.
    package var description: String {
        switch self {
        case .notASchema(let path): "`\(path)` is neither an object nor a boolean"
        case .unsupportedDialect(let name): "the schema dialect `\(name)` is not supported"
        case .unsupported(let keyword, let path):
            "the schema keyword `\(keyword)` at `\(path)` is not supported"
        case .invalid(let keyword, let path): "the value of `\(keyword)` at `\(path)` is not valid"
        case .unresolved(let reference): "`\(reference)` leads nowhere in this schema"
        case .tooDeep(let limit): "the schema nests more than \(limit) levels"
        case .tooLarge(let limit): "the schema has more than \(limit) parts"
        }
    }
}

/// The types of JSON Schema; an integer is a number too.
enum JSONType: String, Sendable {
    case null, boolean, integer, number, string, array, object

    func matches(_ value: JSONValue) -> Bool {
        switch (self, value) {
        case (.null, .null), (.boolean, .bool), (.string, .string), (.array, .array),
            (.object, .object), (.integer, .integer), (.number, .integer), (.number, .double):
            true
        // 3.0 is an integer, section 4.2.3 of the core specification.
        case (.integer, .double(let number)): number.rounded() == number
        default: false
        }
    }

    /// With its article, for a sentence.
    var phrase: String {
        switch self {
        case .null: "null"
        case .boolean: "true or false"
        case .integer: "an integer"
        case .number: "a number"
        case .string: "a text"
        case .array: "a list"
        case .object: "an object"
        }
    }
}
