package import Domain

/// What a server has said of itself when its session began.
package struct ServerProfile: Sendable, Equatable {
    /// The revision that is spoken with it.
    package var version: ProtocolVersion
    package var capabilities: JSONObject
    /// Its `Implementation`; nil when it has not introduced itself.
    package var implementation: JSONValue?
    /// For the model, from a stranger; nil for none.
    package var instructions: String?

    package init(
        version: ProtocolVersion,
        capabilities: JSONObject = JSONObject(),
        implementation: JSONValue? = nil,
        instructions: String? = nil
    ) {
        self.version = version
        self.capabilities = capabilities
        self.implementation = implementation
        self.instructions = instructions
    }

    /// Whether a capability such as `resources` is there.
    package func offers(_ capability: String) -> Bool { capabilities[capability]?.object != nil }

    /// Whether a flag of a capability is set, such as `listChanged` of `tools`.
    package func offers(_ flag: String, of capability: String) -> Bool {
        capabilities[capability]?[flag]?.bool == true
    }
}
