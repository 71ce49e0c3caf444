import Domain
import MCP
import Testing

/// Calls that ask the client for something, and clients that can give it.
struct InputRequiredTests {
    private func call(_ capabilities: String, version: String = "2026-07-28") -> String {
        """
        {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{\
        "io.modelcontextprotocol/protocolVersion":"\(version)",\
        "io.modelcontextprotocol/clientCapabilities":\(capabilities)}}}
        """
    }

    @Test func `a result that says what it is keeps that, and gets the rest`() {
        var talk = Conversation()
        talk.say(call("{}"))
        let asking: JSONValue = ["resultType": "input_required", "requestState": "s"]
        let result = ToolResult(original: asking.object ?? JSONObject())
        let answer = talk.apply(
            talk.session.finish(talk.started[0].id, .success(.result(result)))
        )[0]["result"]
        #expect(answer?["resultType"] == "input_required" && answer?["requestState"] == "s")
        #expect(answer?["_meta"]?["io.modelcontextprotocol/serverInfo"]?["name"] == "test")
    }

    @Test(arguments: [
        (#"{"elicitation":{"url":{}}}"#, true), (#"{"elicitation":{"form":{}}}"#, false),
        ("{}", false),
    ])
    func `a client opens pages when it says so`(_ capabilities: String, _ opens: Bool) {
        var talk = Conversation()
        talk.say(call(capabilities))
        #expect(talk.started[0].context.opensPages == opens)
    }

    @Test func `a client of an older revision comes back with nothing`() {
        var talk = Conversation()
        talk.initialize()
        talk.say(#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#)
        #expect(talk.started[0].context.opensPages == false)
    }
}
