package import Domain

/// A tool as `tools/list` shows it.
package struct ToolDefinition: Sendable, Equatable {
    /// 1 to 128 letters, digits, `_`, `-`, `.`; unique within the server.
    package var name: String
    /// For people.
    package var title: String
    /// For the model that chooses.
    package var summary: String {
        didSet { original?["description"] = .string(summary) }
    }
    /// What the arguments must be like, JSON Schema 2020-12.
    package var inputSchema: JSONValue {
        didSet { original?["inputSchema"] = inputSchema }
    }
    /// What `structuredContent` will be like.
    package var outputSchema: JSONValue?
    package var annotations: Annotations
    /// Whether the annotations are the word of somebody who is believed; another server's are not
    /// unless an operator says so.
    package var hasTrustedAnnotations = true
    /// As another server gave it, to be shown as it is but for the name, what is added to its
    /// arguments, and a description that a policy puts in place of its own; nil for our own.
    package private(set) var original: JSONObject?

    /// Hints about what a call does; whoever does not trust the server does not trust them.
    package struct Annotations: Sendable, Equatable {
        /// Changes nothing.
        package var isReadOnly: Bool
        /// May destroy what was there; means something only where it is not read-only.
        package var isDestructive: Bool
        /// A second call with the same arguments changes nothing more.
        package var isIdempotent: Bool
        /// Reaches services outside this installation.
        package var isOpenWorld: Bool

        package init(
            isReadOnly: Bool,
            isDestructive: Bool = false,
            isIdempotent: Bool = true,
            isOpenWorld: Bool = false
        ) {
            self.isReadOnly = isReadOnly
            self.isDestructive = isDestructive
            self.isIdempotent = isIdempotent
            self.isOpenWorld = isOpenWorld
        }
    }

    package init(
        name: String,
        title: String,
        summary: String,
        inputSchema: JSONValue,
        outputSchema: JSONValue? = nil,
        annotations: Annotations
    ) {
        self.name = name
        self.title = title
        self.summary = summary
        self.inputSchema = inputSchema
        self.outputSchema = outputSchema
        self.annotations = annotations
    }

    /// A tool of another server, shown under a name of ours.
    ///
    /// - Parameters:
    ///   - original: As that server lists it; nothing of it is lost.
    ///   - name: What it is called here.
    package init(original: JSONObject, name: String) {
        self.name = name
        hasTrustedAnnotations = false
        let hints = original["annotations"]
        title = original["title"]?.string ?? hints?["title"]?.string ?? name
        summary = original["description"]?.string ?? ""
        inputSchema = original["inputSchema"] ?? ["type": "object"]
        outputSchema = original["outputSchema"]
        // The protocol's defaults: who says nothing may do anything.
        annotations = Annotations(
            isReadOnly: hints?["readOnlyHint"]?.bool ?? false,
            isDestructive: hints?["destructiveHint"]?.bool ?? true,
            isIdempotent: hints?["idempotentHint"]?.bool ?? false,
            isOpenWorld: hints?["openWorldHint"]?.bool ?? true
        )
        self.original = original
    }

    /// Whether it is known to change nothing.
    package var isSurelyReadOnly: Bool { annotations.isReadOnly && hasTrustedAnnotations }

    /// As a revision shows it; what the revision does not know is left out.
    package func json(for version: ProtocolVersion = .latest) -> JSONValue {
        if var original {
            original["name"] = .string(name)
            return .object(original)
        }
        var object = JSONObject()
        object.append(key: "name", value: .string(name))
        if version.hasStructuredContent { object.append(key: "title", value: .string(title)) }
        object.append(key: "description", value: .string(summary))
        object.append(key: "inputSchema", value: inputSchema)
        if version.hasStructuredContent, let outputSchema {
            object.append(key: "outputSchema", value: outputSchema)
        }
        object.append(
            key: "annotations",
            value: [
                "title": .string(title),
                "readOnlyHint": .bool(annotations.isReadOnly),
                "destructiveHint": .bool(annotations.isDestructive),
                "idempotentHint": .bool(annotations.isIdempotent),
                "openWorldHint": .bool(annotations.isOpenWorld),
            ]
        )
        return .object(object)
    }
}
