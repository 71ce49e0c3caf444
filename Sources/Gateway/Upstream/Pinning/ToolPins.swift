import Domain
import Store

/// Compares what a server lists with what was accepted, as a value.
///
/// The first scan that somebody asks for accepts what is not suspicious; after that nothing that is
/// new or different can be called before somebody has accepted it.
struct ToolPins: Sendable {
    /// What a scan changes.
    struct Outcome: Sendable, Equatable {
        /// Every tool as it is now, by name.
        var tools: [UpstreamTool]
        /// Those that differ from what was known.
        var changed: [UpstreamTool]
        /// What was listed and cannot be used, with the reason.
        var unusable: [String]
    }

    /// Longer names would not fit into a list that a person looks through.
    static let maximumNameBytes = 256

    /// Whether this is not the first scan that somebody has asked for.
    var isKnown: Bool
    /// Whether tools that are new wait to be accepted.
    var holdsNew: Bool
    /// Names of tools that a look-alike could be taken for.
    var otherNames: [String]

    /// Compares.
    func compare(
        _ found: [JSONObject],
        with known: [UpstreamTool],
        at now: Timestamp
    ) -> Outcome {
        var rest = Dictionary(uniqueKeysWithValues: known.map { (Array($0.name.utf8), $0) })
        var outcome = Outcome(tools: [], changed: [], unusable: [])
        var names: Set<[UInt8]> = []
        let siblings = found.compactMap { $0["name"]?.string }
        for definition in found {
            guard let name = Self.name(of: definition) else {
                outcome.unusable.append("a tool without a usable name")
                continue
            }
            let key = Array(name.utf8)
            guard names.insert(key).inserted else {
                outcome.unusable.append("`\(name)` is listed more than once")
                rest[key] = nil
                outcome.tools.removeAll { haveEqualBytes($0.name, name) }
                outcome.changed.removeAll { haveEqualBytes($0.name, name) }
                continue
            }
            let before = rest.removeValue(forKey: key)
            let flags = ToolSuspicion.flags(of: definition, own: otherNames + siblings)
            let tool = tool(name, definition.withoutRepeatedKeys, flags, before, now)
            outcome.tools.append(tool)
            if tool != before { outcome.changed.append(tool) }
        }
        for var tool in rest.values where tool.state != .gone {
            tool.state = .gone
            tool.proposed = nil
            outcome.tools.append(tool)
            outcome.changed.append(tool)
        }
        outcome.tools += rest.values.filter { $0.state == .gone }
        outcome.tools.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        return outcome
    }

    private func tool(
        _ name: String,
        _ definition: JSONObject,
        _ flags: [String],
        _ before: UpstreamTool?,
        _ now: Timestamp
    ) -> UpstreamTool {
        var tool =
            before
            ?? UpstreamTool(
                name: name,
                accepted: nil,
                proposed: nil,
                state: .held,
                flags: flags,
                seenAt: now
            )
        tool.flags = flags
        if let accepted = tool.accepted {
            let isSame =
                UpstreamToolTable.digest(accepted) == UpstreamToolTable.digest(definition)
            tool.state = isSame ? .accepted : .held
            tool.proposed = isSame ? nil : definition
            return tool
        }
        // One that was held before stays, for nobody has accepted it meanwhile; before the first
        // scan that was because nobody had asked for one.
        let isTrusted = flags.isEmpty && (!isKnown || (before == nil && !holdsNew))
        tool.state = isTrusted ? .accepted : .held
        tool.accepted = isTrusted ? definition : nil
        tool.proposed = isTrusted ? nil : definition
        return tool
    }

    /// A name that can be shown, compared and stored; nil for others.
    static func name(of definition: JSONObject) -> String? {
        guard let name = definition["name"]?.string, !name.isEmpty,
            name.utf8.count <= maximumNameBytes,
            !name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
        else { return nil }
        return name
    }
}
