import Testing

struct CELCommandTests {
    @Test func `each line has its answer, in order`() throws {
        let sandbox = try Sandbox()
        let result = try sandbox.preloop(
            "cel",
            "--jsonl",
            input: """
                {"id": "a", "expr": "x + 1", "bindings": {"x": {"t": "int", "v": "41"}}, \
                "type_env": [{"name": "x", "kind": "ident", "type": "int"}]}
                {"id": "b", "expr": "1 / 0"}
                nonsense
                {"id": 4, "expr": "[1, 2u]", "check_only": true}

                """
        )
        #expect(result.status == 0)
        #expect(
            result.output.split(separator: "\n") == [
                #"{"id":"a","value":{"t":"int","v":"42"}}"#,
                #"{"id":"b","error":"1:3: division by zero"}"#,
                #"{"id":null,"error":"invalid JSON at byte 1"}"#,
                #"{"id":4,"type":{"list":"dyn"}}"#,
            ]
        )
        #expect(try sandbox.preloop("cel").status == 2)
    }
}
