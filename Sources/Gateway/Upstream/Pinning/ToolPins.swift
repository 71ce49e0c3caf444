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

        /// Notes a tool as it is now, beside what was known of it.
        fileprivate mutating func add(_ tool: UpstreamTool, after before: UpstreamTool?) {
            tools.append(tool)
            if before.map({ tool.isSame(as: $0) }) != true { changed.append(tool) }
        }
    }

    /// Which definition a call of such a tool would be of, nobody can tell.
    static let repeatedFlag = "listed more than once"
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
        let repeated = Self.repeatedNames(of: found)
        let siblings = found.compactMap { $0["name"]?.string }
        for definition in found {
            guard let name = Self.name(of: definition) else {
                outcome.unusable.append("a tool without a usable name")
                continue
            }
            let key = Array(name.utf8)
            guard names.insert(key).inserted else { continue }
            let before = rest.removeValue(forKey: key)
            guard !repeated.contains(key) else {
                outcome.unusable.append("`\(name)` is \(Self.repeatedFlag)")
                outcome.add(Self.repeated(name, before, now), after: before)
                continue
            }
            let flags = ToolSuspicion.flags(of: definition, own: otherNames + siblings)
            let tool = tool(name, definition.withoutRepeatedKeys, flags, before, now)
            outcome.add(tool, after: before)
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

    /// A tool that is listed more than once: none of its definitions is one that could be accepted,
    /// and the one that was accepted holds no more.
    private static func repeated(
        _ name: String,
        _ before: UpstreamTool?,
        _ now: Timestamp
    ) -> UpstreamTool {
        UpstreamTool(
            name: name,
            accepted: before?.accepted,
            proposed: nil,
            state: .held,
            flags: [repeatedFlag],
            seenAt: before?.seenAt ?? now
        )
    }

    /// The names that stand more than once in a list, by their bytes.
    static func repeatedNames(of found: [JSONObject]) -> Set<[UInt8]> {
        var counts: [[UInt8]: Int] = [:]
        for name in found.compactMap(name(of:)) { counts[Array(name.utf8), default: 0] += 1 }
        return Set(counts.filter { $0.value > 1 }.keys)
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
