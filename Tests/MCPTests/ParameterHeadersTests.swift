import Domain
import MCP
import Testing

/// The headers in which 2026-07-28 mirrors arguments.
struct ParameterHeadersTests {
    private static let schema: JSONValue = [
        "type": "object",
        "properties": [
            "tenant": ["type": "string", "x-mcp-header": "Tenant"],
            "count": ["type": "integer", "x-mcp-header": "Count"],
            "deep": [
                "type": "object",
                "properties": ["flag": ["type": "boolean", "x-mcp-header": "Flag"]],
            ],
        ],
    ]
    private let headers = ParameterHeaders(of: ParameterHeadersTests.schema)

    private func fields(_ arguments: JSONValue) -> [String] {
        headers.fields(for: arguments.object ?? JSONObject()).map { "\($0.name): \($0.value)" }
    }

    private static let mirrored: [(JSONValue, [String])] = [
        ([:], []), (["tenant": nil, "other": 1], []), (["tenant": "acme"], ["Tenant: acme"]),
        (["tenant": ""], ["Tenant: =?base64??="]), (["tenant": " a"], ["Tenant: =?base64?IGE=?="]),
        (["tenant": "é\r\n"], ["Tenant: =?base64?w6kNCg==?="]),
        (["count": -7, "deep": ["flag": false]], ["Count: -7", "Flag: false"]),
        (["count": 7.0], ["Count: 7"]), (["count": 7.5, "deep": "x"], []),
        (["tenant": "=?base64?x?="], ["Tenant: =?base64?PT9iYXNlNjQ/eD89?="]),
    ]

    @Test(arguments: mirrored)
    func `what a header can show of an argument is in its header`(
        _ arguments: JSONValue,
        _ lines: [String]
    ) {
        #expect(fields(arguments) == lines.map { "Mcp-Param-\($0)" })
        // Whoever sends these agrees with whoever compares them.
        var sent = HeaderFields()
        let object = arguments.object ?? JSONObject()
        for field in headers.fields(for: object) { sent.append(field.name, field.value) }
        #expect(headers.mismatch(object, sent) == nil)
        #expect(headers.others(in: sent).fields.isEmpty)
    }

    @Test func `headers that mirror nothing are left as they came, in their order`() {
        let sent = HeaderFields([
            "Host": "x", "mcp-param-b": "2", "Mcp-Param-TENANT": "x", "MCP-PARAM-A": "1",
            "Mcp-Param-B": "", "Mcp-Param-": "x", "Mcp-Param-C D": "x", "Mcp-Param-E": "a\r\nb",
            "Mcp-Param-F": "é", "Mcp-Paramount": "x",
        ])
        let others = headers.others(in: sent)
        #expect(others.fields.map(\.name) == ["mcp-param-b", "MCP-PARAM-A", "Mcp-Param-B"])
        #expect(others.fields.map(\.value) == ["2", "1", ""])
    }

    @Test func `more of them than anybody routes by are none`() {
        let name = "Mcp-Param-Long"
        let most = String(repeating: "x", count: 4_096 - name.utf8.count)
        #expect(headers.others(in: HeaderFields([name: most])).fields.count == 1)
        #expect(headers.others(in: HeaderFields([name: most + "x"])).fields.isEmpty)
        #expect(headers.others(in: HeaderFields([name: most, "Mcp-Param-A": ""])).fields.isEmpty)
    }

    @Test func `schemas without headers, or with good ones, are usable`() {
        #expect(ParameterHeaders.areUsable(in: Self.schema))
        #expect(ParameterHeaders.areUsable(in: ["type": "object"]))
        #expect(ParameterHeaders.areUsable(in: [:]))
        var deep: JSONValue = ["type": "string"]
        for _ in 0..<32 { deep = ["properties": ["a": deep]] }
        #expect(!ParameterHeaders.areUsable(in: deep))
    }

    private static let annotated: JSONValue = ["type": "string", "x-mcp-header": "A"]

    /// Nobody can say from the schema which value such a header would mirror.
    @Test(arguments: [
        "$defs", "additionalItems", "additionalProperties", "allOf", "anyOf", "contains",
        "contentSchema", "definitions", "dependencies", "dependentSchemas", "else", "if", "items",
        "not", "oneOf", "patternProperties", "prefixItems", "propertyNames", "then",
        "unevaluatedItems", "unevaluatedProperties",
    ])
    func `a header to which other keywords than properties lead cannot be made`(
        _ keyword: String
    ) {
        for inner: JSONValue in [Self.annotated, ["properties": ["c": Self.annotated]]] {
            let value: JSONValue =
                switch keyword {
                case "allOf", "anyOf", "oneOf", "prefixItems": [["type": "null"], inner]
                case "$defs", "definitions", "dependencies", "dependentSchemas",
                    "patternProperties":
                    ["b": inner]
                default: inner
                }
            let part = JSONValue.object(JSONObject([(keyword, value)]))
            #expect(!ParameterHeaders.areUsable(in: part))
            #expect(!ParameterHeaders.areUsable(in: ["properties": ["a": part]]))
            #expect(!ParameterHeaders.areUsable(in: ["items": ["anyOf": [part]]]))
            #expect(ParameterHeaders(of: part).fields(for: JSONObject([("c", "x")])).isEmpty)
        }
        // The same without an annotation is as good as any other.
        #expect(ParameterHeaders.areUsable(in: .object(JSONObject([(keyword, ["b": [:]])]))))
    }

    @Test func `a header of the arguments together, or of a list of schemas, cannot be made`() {
        #expect(!ParameterHeaders.areUsable(in: Self.annotated))
        #expect(!ParameterHeaders.areUsable(in: ["properties": ["a": ["items": [Self.annotated]]]]))
    }

    @Test func `data and names of properties are no headers`() {
        let data: JSONValue = ["x-mcp-header": 5]
        let schema: JSONValue = [
            "properties": [
                "a": ["default": data, "const": data, "enum": [data], "examples": [data]],
                "x-mcp-header": ["type": "string"],
            ],
            "items": ["properties": ["x-mcp-header": ["type": "string"]]],
        ]
        #expect(ParameterHeaders.areUsable(in: schema))
        let arguments = JSONObject([("x-mcp-header", "x")])
        #expect(ParameterHeaders(of: schema).fields(for: arguments).isEmpty)
    }
}
