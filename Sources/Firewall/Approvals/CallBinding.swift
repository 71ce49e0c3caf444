import Crypto
package import Domain

/// The exact call that a decision is about.
///
/// A decision holds for nothing else: another argument, another definition of the tool, another
/// server, another caller or another policy gives another digest; and where several workflows have
/// to approve, so does one less of them.
package struct CallBinding: Sendable, Equatable {
    /// As callers name it.
    package var tool: String
    /// What the tool said of itself: name, description, schemas, annotations.
    package var definition: JSONValue
    /// As they would reach the tool.
    package var arguments: JSONObject
    /// On whose behalf.
    package var principal: String
    package var policyVersion: Int64
    /// Where the call goes: the server of the tool, with its address; null for the gateway's own.
    package var destination = JSONValue.null
    /// What its caller answers to questions of that server; empty for none.
    package var answers = JSONObject()
    /// What its caller says beside the arguments to that server, in `_meta`; empty for nothing.
    package var meta = JSONObject()
    /// The workflows that have to approve, in the order they are asked, where there are several;
    /// else empty.
    package var workflows: [String] = []

    package init(
        tool: String,
        definition: JSONValue,
        arguments: JSONObject,
        principal: String,
        policyVersion: Int64
    ) {
        self.tool = tool
        self.definition = definition
        self.arguments = arguments
        self.principal = principal
        self.policyVersion = policyVersion
    }

    /// SHA-256 of the canonical form of all of it.
    ///
    /// The form of a document of named parts is unambiguous: no part can pass for another one.
    package func digest() throws(CanonicalJSONError) -> [UInt8] {
        let definition = SHA256.hash(data: try CanonicalJSON.bytes(of: definition))
        var document = JSONObject([
            ("arguments", .object(arguments)),
            ("definition", .string(hexadecimal(definition))),
            ("format", 1),
            ("policy", .integer(policyVersion)),
            ("principal", .string(principal)),
            ("tool", .string(tool)),
        ])
        // Left out where there are none, as before there were any: what waits stays what it is.
        if !destination.isNull { document.append(key: "destination", value: destination) }
        if !answers.members.isEmpty { document.append(key: "answers", value: .object(answers)) }
        if !meta.members.isEmpty { document.append(key: "meta", value: .object(meta)) }
        if !workflows.isEmpty {
            document.append(key: "workflows", value: JSONValue(workflows))
        }
        return Array(SHA256.hash(data: try CanonicalJSON.bytes(of: .object(document))))
    }
}
