import Domain
import MCP
import Testing

/// Schemas that other programs have written, of which only types are read.
struct ForeignSchemaTests {
    private func check(_ schema: JSONValue, _ value: JSONValue) -> [String] {
        JSONSchema(foreign: schema).violations(of: value).map(\.description)
    }

    private static let schema: JSONValue = [
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object", "required": ["path"], "additionalProperties": false,
        "$defs": [
            "Mode": ["enum": ["soft", "hard"], "title": "Mode"],
            "Tree": [
                "type": "object",
                "properties": [
                    "deep": ["type": "boolean"], "children": ["items": ["$ref": "#/$defs/Tree"]],
                ],
            ],
        ],
        "properties": [
            "path": ["type": "string", "pattern": "^/", "minLength": 3],
            "force": ["anyOf": [["type": "boolean"], ["type": "null"]], "default": nil],
            "mode": ["anyOf": [["$ref": "#/$defs/Mode"], ["type": "null"]]],
            "size": ["oneOf": [["type": "integer"], ["type": "number"]]],
            "tree": ["$ref": "#/$defs/Tree"],
            "labels": ["type": "array", "items": ["type": "string"]],
            "pair": ["prefixItems": [["type": "string"]], "items": ["type": "integer"]],
            "odd": ["type": "any", "$ref": "https://elsewhere.example/schema", "x-mine": true],
        ],
    ]

    private static let fitting: [JSONValue] = [
        ["path": "/x"], ["path": "x"], ["path": "/", "force": nil, "labels": nil],
        ["path": "/", "mode": "soft", "size": 1.5, "unknown": [1]],
        ["path": "/", "tree": ["deep": true, "children": [["deep": false]]]],
        ["path": "/", "pair": ["a", 1], "odd": [:]],
    ]

    @Test(arguments: fitting)
    func `what fits is right, and rules that are not read are the server's`(_ value: JSONValue) {
        #expect(check(Self.schema, value).isEmpty)
    }

    private static let mistakes: [(JSONValue, String)] = [
        ([:], "`path` is missing"),
        (["path": nil], "`path` must be a text, but is null"),
        (["path": "/", "force": "true"], "`force` must be true or false, but is \"true\""),
        (["path": "/", "force": 1], "`force` must be true or false, but is 1"),
        (["path": "/", "mode": "odd"], "`mode` must be one of \"soft\", \"hard\", not \"odd\""),
        (["path": "/", "size": "1"], "`size` must be an integer or a number, but is \"1\""),
        (["path": "/", "labels": "[\"a\"]"], "`labels` must be a list, but is \"[\\\"a\\\"]\""),
        (["path": "/", "labels": [1]], "`labels[0]` must be a text, but is 1"),
        (
            ["path": "/", "tree": ["children": [["deep": "yes"]]]],
            "`tree.children[0].deep` must be true or false, but is \"yes\""
        ),
    ]

    @Test(arguments: mistakes)
    func `a value of another type is told of`(_ value: JSONValue, _ expected: String) {
        #expect(check(Self.schema, value) == [expected])
    }

    /// What refers to itself many times over must not use up what is read of its neighbours.
    @Test func `a schema that refers to itself ends, and the rest is read`() {
        let part: JSONValue = ["$ref": "#"]
        let schema: JSONValue = [
            "type": "object",
            "properties": ["a": part, "b": part, "c": part, "z": ["type": "boolean"]],
        ]
        #expect(check(schema, ["z": "true"]).count == 1)
        #expect(check(schema, ["a": ["z": "true"]]).count == 1)
        for odd in [5, [], "x", ["type": 5], ["properties": [1], "required": 5]] as [JSONValue] {
            #expect(check(odd, ["z": 1]).isEmpty)
        }
    }
}
