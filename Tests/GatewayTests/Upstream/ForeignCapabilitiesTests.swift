import Domain
import MCP
import Testing

@testable import Gateway

/// What clients and servers declare that means nothing to Preloop.
@Suite struct ForeignCapabilitiesTests {
    private func json(_ object: JSONObject) -> JSONValue { .object(object) }

    @Test func `extensions and experiments pass, tasks and what is no object do not`() {
        let given = object([
            "tools": [:], "tasks": ["list": [:]],
            "experimental": ["tasks": [:], "z": ["n": 1], "a": [:], "flag": true],
            "extensions": [
                "io.modelcontextprotocol/tasks": [:], "io.modelcontextprotocol/ui": ["m": ["x"]],
                "with space": [:], "": [:],
            ],
        ])
        #expect(
            json(ForeignCapabilities.of(given)) == [
                "experimental": ["a": [:], "z": ["n": 1]],
                "extensions": ["io.modelcontextprotocol/ui": ["m": ["x"]]],
            ]
        )
        #expect(ForeignCapabilities.of(object(["extensions": "all"])).members.isEmpty)
    }

    @Test func `what is too much is left out as a whole`() {
        func declared(_ count: Int) -> JSONObject {
            let text = String(repeating: "x", count: count)
            return ForeignCapabilities.of(
                object(["experimental": ["a": [:]], "extensions": ["b": ["text": .string(text)]]])
            )
        }
        #expect(declared(ForeignCapabilities.maximumBytes / 2).members.count == 2)
        #expect(declared(ForeignCapabilities.maximumBytes).members.isEmpty)
    }

    /// A server of tasks answered with one, which the gateway can tell nothing of.
    @Test func `a server of the newer era hears all but what is our own`() {
        let given = object([
            "elicitation": ["url": [:]], "vendor": 1, "tasks": [:],
            "extensions": ["io.modelcontextprotocol/tasks": [:], "b": [:]],
        ])
        #expect(
            json(ForeignCapabilities.handedOn(given)) == [
                "elicitation": ["url": [:]], "vendor": 1, "extensions": ["b": [:]],
            ]
        )
        let own = object(["extensions": ["io.modelcontextprotocol/tasks": [:]]])
        #expect(ForeignCapabilities.handedOn(own).members.isEmpty)
    }

    @Test func `what servers agree on stands for all, what they do not is told for each`() {
        let one = object(["extensions": ["same": ["a": 1], "both": ["a": 1, "b": 2], "own": [:]]])
        let two = object(["extensions": ["same": ["a": 1], "both": ["a": 1, "b": 3]]])
        #expect(
            json(ForeignCapabilities.merged([("one", one), ("two", two)])) == [
                "extensions": [
                    "both": ["a": 1], "one__both": ["a": 1, "b": 2],
                    "two__both": ["a": 1, "b": 3], "own": [:], "same": ["a": 1],
                ]
            ]
        )
        #expect(ForeignCapabilities.merged([]).members.isEmpty)
    }

    @Test func `a server does not say what another one declares`() {
        let one = object(["extensions": ["x/y": ["a": 1]]])
        let two = object(["extensions": ["one__x/y": ["a": 2], "x/y": ["a": 3]]])
        #expect(
            json(ForeignCapabilities.merged([("one", one), ("two", two)])) == [
                "extensions": ["x/y": [:], "one__x/y": ["a": 1], "two__x/y": ["a": 3]]
            ]
        )
        let three = object(["extensions": ["one__z": [:], "own__z": [:]]])
        #expect(
            json(ForeignCapabilities.merged([("one", one), ("three", three)])) == [
                "extensions": ["own__z": [:], "x/y": ["a": 1]]
            ]
        )
    }
}
