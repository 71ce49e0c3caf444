import Domain
import MCP
import TestSupport
import Testing

struct MessageParserTests {
    private func parse(_ text: String) -> Result<MessageParser.Incoming, MessageParser.Failure> {
        do throws(MessageParser.Failure) {
            return .success(try MessageParser().parse(Array(text.utf8)))
        } catch {
            return .failure(error)
        }
    }

    private func code(_ text: String) -> Int? {
        if case .failure(let failure) = parse(text) { failure.error.code } else { nil }
    }

    /// The tool would have been called with 1.8446744073709552e19, which its caller did not say.
    @Test func `a call with a number that loses digits is refused, and told which`() throws {
        let call = """
            {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":\
            {"id":18446744073709551615}}}
            """
        for text in [call, "[\(call)]"] {
            var failure: MessageParser.Failure?
            switch parse(text) {
            case .failure(let error): failure = error
            case .success(.batch(let elements)):
                if case .invalid(let error)? = elements.first { failure = error }
            case .success(.message): break
            }
            #expect(failure?.id == .integer(7))
            #expect(failure?.error.code == RPCError.invalidParametersCode)
            #expect(failure?.error.message.contains("`18446744073709551615`") == true)
        }
        // As a text it is handed on, and what is no call is none.
        let quoted = call.replacing("18446744073709551615", with: "\"18446744073709551615\"")
        for text in [quoted, call.replacing("tools/call", with: "ping")] {
            guard case .success(.message) = parse(text) else {
                Issue.record("refused: \(text)")
                continue
            }
        }
    }

    @Test func `requests, notifications and responses are told apart`() throws {
        let messages = try [
            #"{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1}}"#,
            #"{"jsonrpc":"2.0","method":"m"}"#,
            #"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m","data":[1]}}"#,
        ].map { try MessageParser().parse(Array($0.utf8)) }
        guard case .message(.request(let request)) = messages[0],
            case .message(.notification) = messages[1],
            case .message(.response(let response)) = messages[2]
        else {
            Testing.Issue.record("\(messages)")
            return
        }
        #expect(request.id == .string("a") && request.parameters["x"] == 1)
        #expect(response.outcome == .failure(RPCError(-1, "m", data: [1])))
    }

    @Test(arguments: [
        ("", -32700), ("{", -32700), ("nonsense", -32700), (#"{"a":}"#, -32700), ("5", -32600),
        (#""text""#, -32600), ("null", -32600), ("{}", -32600), ("[]", -32600),
        (#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32600),
        (#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":[1],"method":"m"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"m","params":"x"}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"m"}}"#, -32600),
    ])
    func `what is no message gets the code for it`(_ text: String, _ expected: Int) {
        #expect(code(text) == expected)
    }

    @Test func `an error names whose it was where that can be read`() {
        guard case .failure(let failure) = parse(#"{"jsonrpc":"2.0","id":7,"method":5}"#) else {
            Testing.Issue.record("no failure")
            return
        }
        #expect(failure.id == .integer(7))
        #expect(failure.message.json["id"] == 7)
    }

    @Test func `size, depth, identifiers and batches have limits`() {
        let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
        #expect(code(#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":\#(deep)}}"#) == -32600)
        let brackets = String(repeating: "[", count: 500)
        let text = #"{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"\#(brackets)\""}}"#
        #expect(code(text) == nil)
        var parser = MessageParser()
        parser.limits.bytes = 100
        #expect(throws: MessageParser.Failure.self) {
            try parser.parse([UInt8](repeating: 32, count: 101))
        }
        let id = String(repeating: "x", count: 257)
        #expect(code(#"{"jsonrpc":"2.0","id":"\#(id)","method":"m"}"#) == -32600)
        let ping = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
        let batch = "[" + Array(repeating: ping, count: 65).joined(separator: ",") + "]"
        #expect(code(batch) == -32600)
        // Depth without end does not reach the stack.
        #expect(code(String(repeating: "[", count: 1_000_000)) == -32600)
    }

    @Test func `of a key that is there twice the last one counts everywhere`() {
        let text =
            #"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","name":"y"},"method":"b"}"#
        guard case .success(.message(.request(let request))) = parse(text) else {
            Testing.Issue.record("no request")
            return
        }
        #expect(request.method == "b" && request.parameters["name"] == "y")
    }

    /// Mutations of real messages: the parser answers each, the session answers each, and what is
    /// accepted comes out of the writer as it went in.
    @Test(arguments: 0..<8)
    func `mutated messages never break anything`(_ seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let seeds = [
            """
            {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":\
            {"query":"é\\ud83d\\ude00"},"_meta":{"io.modelcontextprotocol/protocolVersion":\
            "2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":5}}}
            """,
            """
            {"jsonrpc":"2.0","id":"x","method":"initialize","params":{"protocolVersion":\
            "2025-03-26","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}
            """,
            """
            [{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":\
            "notifications/cancelled","params":{"requestId":1}}]
            """,
            #"{"jsonrpc":"2.0","id":3,"error":{"code":-32000,"message":"m","data":[1,2.5e3]}}"#,
        ].map { Array($0.utf8) }
        var talk = Conversation()
        var accepted = 0
        for round in 0..<4_000 {
            var bytes = seeds[Int(random.next() % UInt64(seeds.count))]
            for _ in 0..<(random.next() % 4) {
                let place = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 4 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: place)
                case 2:
                    let mark = "\"{}[],:0\\".randomElement(using: &random)
                    bytes.insert(mark?.asciiValue ?? 48, at: place)
                default: bytes = Array(bytes[..<max(1, place)])
                }
                if bytes.isEmpty { bytes = [48] }
            }
            do throws(MessageParser.Failure) {
                let incoming = try MessageParser().parse(bytes)
                accepted += 1
                if case .message(let message) = incoming {
                    let again = try MessageParser().parse(message.json.serialized())
                    #expect(again == incoming, "seed \(seed), round \(round)")
                }
                talk.apply(talk.session.receive(incoming, in: 1_000 + round))
            } catch {
                talk.apply(talk.session.refuse(error, in: 1_000 + round))
            }
            for job in talk.started.suffix(2) { talk.finish(job.id) }
        }
        #expect(accepted > 400)
        for message in talk.sent.suffix(500) {
            let text = message.serializedText()
            #expect(!text.utf8.contains(10))
            #expect(try JSONParser.parse(text) == message)
        }
    }
}
