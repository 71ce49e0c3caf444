import Domain
import MCP
import Testing

struct JSONSchemaTests {
    private func check(_ schema: JSONValue, _ value: JSONValue) throws -> [String] {
        try JSONSchema(schema).violations(of: value).map(\.description)
    }

    private static let search: JSONValue = [
        "type": "object", "additionalProperties": false, "required": ["query"],
        "properties": [
            "query": ["type": "string", "minLength": 1, "description": "What you look for."],
            "limit": ["type": "integer", "minimum": 1, "maximum": 100],
            "state": ["type": "string", "enum": ["open", "closed"]],
            "labels": ["type": "array", "items": ["type": "string"], "maxItems": 2],
        ],
    ]

    @Test func `what is right has no violations`() throws {
        #expect(try check(Self.search, ["query": "x"]).isEmpty)
        let all: JSONValue = ["query": "x", "limit": 3, "state": "open", "labels": ["a", "b"]]
        #expect(try check(Self.search, all).isEmpty)
    }

    private static let mistakes: [(JSONValue, String)] = [
        (["limit": 5], "`query` is missing: What you look for."),
        (["query": 5], "`query` must be a text, but is 5"),
        (["query": ""], "`query` must not be empty"),
        (["query": "x", "limit": "ten"], "`limit` must be an integer, but is \"ten\""),
        (["query": "x", "limit": 0], "`limit` must be from 1 to 100, not 0"),
        (["query": "x", "limit": 1.5], "`limit` must be an integer, but is 1.5"),
        (
            ["query": "x", "state": "opened"],
            "`state` must be one of \"open\", \"closed\", not \"opened\""
        ),
        (["query": "x", "limt": 5], "`limt` is not known; did you mean `limit`?"),
        (
            ["query": "x", "zzzzzz": 5],
            "`zzzzzz` is not known; there are `query`, `limit`, `state`, `labels`"
        ),
        (["query": "x", "labels": ["a", 5]], "`labels[1]` must be a text, but is 5"),
        (
            ["query": "x", "labels": ["a", "b", "c"]],
            "`labels` must have at most 2 elements, but has 3"
        ),
        ("text", "must be an object, but is \"text\""),
    ]

    /// What a model reads when it was wrong: it must say what to write instead.
    @Test(arguments: mistakes)
    func `a violation says how to mend it`(_ value: JSONValue, _ expected: String) throws {
        #expect(try check(Self.search, value) == [expected])
    }

    @Test func `violations are bounded, and so is what they repeat`() throws {
        let schema: JSONValue = ["type": "array", "items": ["type": "string"]]
        let value = JSONValue.array(Array(repeating: 5, count: 1_000))
        #expect(try check(schema, value).count == JSONSchema.maximumViolations)
        let long = JSONValue.string(String(repeating: "x", count: 100_000))
        #expect(try check(["type": "integer"], long)[0].utf8.count < 200)
    }

    /// Rows: schema, values it accepts, values it refuses; after the official test suite's cases.
    @Test(arguments: [
        ("true", "[1,null]", "[]"),
        ("false", "[]", "[1,null,{}]"),
        ("{}", "[1,\"x\",null]", "[]"),
        (#"{"type":"integer"}"#, "[1,1.0,-5]", "[1.1,\"1\",true,null]"),
        (#"{"type":"number"}"#, "[1,1.5]", "[\"1\",false]"),
        (#"{"type":["string","null"]}"#, "[\"x\",null]", "[1,{}]"),
        (#"{"enum":[1,"a",null]}"#, "[1,1.0,\"a\",null]", "[2,\"b\",[]]"),
        (#"{"const":{"a":[1]}}"#, #"[{"a":[1]}]"#, #"[{"a":[2]},1]"#),
        (#"{"minimum":2,"exclusiveMaximum":5}"#, "[2,4.9,\"x\"]", "[1.9,5]"),
        (#"{"exclusiveMinimum":0}"#, "[0.1]", "[0,-1]"),
        (#"{"multipleOf":0.5}"#, "[1,1.5]", "[1.2]"),
        (#"{"minLength":2,"maxLength":3}"#, "[\"ab\",\"日本語\",5]", "[\"a\",\"abcd\"]"),
        (#"{"minItems":1,"uniqueItems":true}"#, "[[1],[1,2]]", "[[],[1,1]]"),
        (#"{"uniqueItems":true}"#, #"[[{"a":1,"b":2}]]"#, #"[[{"a":1,"b":2},{"b":2,"a":1}]]"#),
        (#"{"minProperties":1,"maxProperties":1}"#, #"[{"a":1}]"#, #"[{},{"a":1,"b":2}]"#),
        (#"{"required":["a"]}"#, #"[{"a":null},5]"#, "[{}]"),
        (
            #"{"properties":{"a":{"type":"string"}},"additionalProperties":{"type":"integer"}}"#,
            #"[{"a":"x","b":1}]"#, #"[{"a":1},{"b":"x"}]"#
        ),
        (#"{"allOf":[{"minimum":1},{"maximum":3}]}"#, "[1,3]", "[0,4]"),
        (#"{"anyOf":[{"type":"string"},{"minimum":5}]}"#, "[\"x\",6]", "[1]"),
        (#"{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}"#, "[2,3]", "[6,1]"),
        (#"{"not":{"type":"string"}}"#, "[1]", "[\"x\"]"),
        (
            ##"{"$defs":{"p":{"minimum":1}},"properties":{"a":{"$ref":"#/$defs/p"}}}"##,
            #"[{"a":1}]"#, #"[{"a":0}]"#
        ),
    ])
    func `keywords mean what 2020-12 says`(
        _ schema: String,
        _ accepted: String,
        _ refused: String
    ) throws {
        let compiled = try JSONSchema(JSONParser.parse(schema))
        for value in try JSONParser.parse(accepted).array ?? [] {
            #expect(compiled.accepts(value), "\(schema) accepts \(value.serializedText())")
        }
        for value in try JSONParser.parse(refused).array ?? [] {
            #expect(!compiled.accepts(value), "\(schema) refuses \(value.serializedText())")
        }
    }

    @Test(arguments: [
        (
            #"{"pattern":"a+"}"#,
            JSONSchema.CompilationError.unsupported(keyword: "pattern", path: "#")
        ),
        (#"{"if":{}}"#, .unsupported(keyword: "if", path: "#")),
        (#"{"$schema":"http://old/s#"}"#, .unsupportedDialect("http://old/s#")),
        (#"{"type":"text"}"#, .invalid(keyword: "type", path: "#")),
        (#"{"minimum":"1"}"#, .invalid(keyword: "minimum", path: "#")),
        (#"{"maxLength":-1}"#, .invalid(keyword: "maxLength", path: "#")),
        (#"{"$ref":"https://a.example/s"}"#, .unresolved(reference: "https://a.example/s")),
        (##"{"$ref":"#/$defs/gone"}"##, .unresolved(reference: "#/$defs/gone")),
        (##"{"$defs":{"a":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##, .tooDeep(limit: 32)),
        (#"{"properties":{"a":5}}"#, .notASchema(path: "#/properties/a")),
    ])
    func `what cannot be checked is refused when it is compiled`(
        _ schema: String,
        _ error: JSONSchema.CompilationError
    ) throws {
        let document = try JSONParser.parse(schema)
        #expect(throws: error) { try JSONSchema(document) }
    }

    @Test func `a schema of a stranger is bounded`() throws {
        // Each level refers to the next twice: two to the thirtieth parts, were they not counted.
        var definitions = JSONObject()
        for level in 0..<30 {
            let next: JSONValue = ["$ref": .string("#/$defs/d\(level + 1)")]
            definitions.append(key: "d\(level)", value: ["allOf": [next, next]])
        }
        definitions.append(key: "d30", value: true)
        let schema: JSONValue = ["$defs": .object(definitions), "$ref": "#/$defs/d0"]
        #expect(throws: JSONSchema.CompilationError.self) { try JSONSchema(schema) }
    }
}
