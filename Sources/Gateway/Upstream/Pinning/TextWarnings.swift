import Domain
import MCP

/// Looks through what a server says besides its tools, for whoever asks for a scan: of these texts
/// that reach models only the instructions have to be accepted.
enum TextWarnings {
    /// More are not told; one is reason enough to look.
    static let maximum = 20

    private static let kinds = [
        ("prompts/list", "prompts", "prompts", "prompt"),
        ("resources/list", "resources", "resources", "resource"),
        ("resources/templates/list", "resourceTemplates", "resources", "template"),
    ]

    /// What somebody should know of a server's instructions, prompts, resources and templates.
    static func of(_ connection: UpstreamConnection) async -> [String] {
        let profile = await connection.profile
        var warnings: [String] = []
        if let text = profile?.instructions {
            let flags = flags(of: JSONObject([("instructions", .string(text))]))
            if !flags.isEmpty { warnings.append("its instructions: \(flags)") }
        }
        for (method, key, capability, word) in kinds where profile?.offers(capability) == true {
            // Whether it gives them is no matter of its tools.
            let items = (try? await connection.list(method, key)) ?? []
            warnings += items.compactMap { item -> String? in
                let flags = flags(of: item)
                guard !flags.isEmpty else { return nil }
                let name = item["name"]?.string ?? "?"
                return "the \(word) `\(name.prefix(ToolPins.maximumNameBytes))`: \(flags)"
            }
        }
        return Array(warnings.prefix(maximum))
    }

    private static func flags(of item: JSONObject) -> String {
        ToolSuspicion.flags(of: item, own: []).joined(separator: ", ")
    }
}
