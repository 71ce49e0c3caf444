import Domain
import MCP

/// Capabilities of which Preloop knows nothing: `extensions` and `experimental`, of clients and of
/// servers.
///
/// They pass in both directions, but for what Preloop does itself: tasks are its own, and of those
/// of other servers it could tell nothing.
enum ForeignCapabilities {
    /// Members of the capabilities that hold what others have defined.
    static let kinds = ["experimental", "extensions"]
    /// What Preloop does itself.
    private static let own: Set<String> = ["tasks", ServerDescription.tasksExtension]
    /// What both kinds may hold together: sessions are kept for each value of a client's.
    static let maximumBytes = 4_096
    /// Longer identifiers are none that anybody looks for.
    private static let maximumIdentifierBytes = 128

    /// Those of a client or server, identifiers in the order of their bytes.
    ///
    /// - Parameter capabilities: All that it says of itself.
    /// - Returns: Objects below ``kinds``; nothing where they hold more than ``maximumBytes``, for
    ///   a part of them would say something else.
    static func of(_ capabilities: JSONObject) -> JSONObject {
        var found = JSONObject()
        for kind in kinds {
            let members = capabilities[kind]?.object?.members ?? []
            let passed = members.filter { member in
                isIdentifier(member.key) && !own.contains(member.key) && member.value.object != nil
            }
            guard !passed.isEmpty else { continue }
            let sorted = passed.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            let object = JSONObject(sorted.map { ($0.key, $0.value) }).withoutRepeatedKeys
            found.append(key: kind, value: .object(object))
        }
        return JSONValue.object(found).serialized().count > maximumBytes ? JSONObject() : found
    }

    /// What a server of the newer era is told that a client can do: all that it says, but for what
    /// Preloop does itself.
    static func handedOn(_ capabilities: JSONObject) -> JSONObject {
        var handedOn = capabilities
        let foreign = of(capabilities)
        for key in kinds where handedOn[key] != nil { handedOn[key] = foreign[key] }
        handedOn["tasks"] = nil
        return handedOn
    }

    /// Letters, digits and what stands between them in `vendor.example/name`.
    private static func isIdentifier(_ text: String) -> Bool {
        (1...maximumIdentifierBytes).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "._-/".utf8.contains(byte)
                }
            }
    }

    // MARK: - Of several servers

    /// What clients are told that several servers can do.
    ///
    /// An identifier of which all servers that have it say the same stands as it is. Where they say
    /// different things, it has the members that all agree on, and `SERVER__IDENTIFIER` has what
    /// each says, as tools have names. What a server calls like that itself is left out: it would
    /// stand for what another one says.
    ///
    /// - Parameter servers: Names, with what ``of(_:)`` gives, in the order of the names.
    /// - Returns: Objects below ``kinds``; empty where no server has any.
    static func merged(_ servers: [(name: String, declared: JSONObject)]) -> JSONObject {
        var merged = JSONObject()
        let beginnings = servers.map { "\($0.name)__" }
        for kind in kinds {
            var said: [(identifier: String, values: [(server: String, value: JSONObject)])] = []
            for (name, declared) in servers {
                for member in declared[kind]?.object?.members ?? []
                where !beginnings.contains(where: member.key.hasPrefix) {
                    let value = (name, member.value.object ?? JSONObject())
                    if let place = said.firstIndex(where: { $0.identifier == member.key }) {
                        said[place].values.append(value)
                    } else {
                        said.append((member.key, [value]))
                    }
                }
            }
            guard !said.isEmpty else { continue }
            said.sort { $0.identifier.utf8.lexicographicallyPrecedes($1.identifier.utf8) }
            var object = JSONObject()
            for (identifier, values) in said { add(identifier, values, to: &object) }
            merged.append(key: kind, value: .object(object))
        }
        return merged
    }

    private static func add(
        _ identifier: String,
        _ values: [(server: String, value: JSONObject)],
        to object: inout JSONObject
    ) {
        let first = values[0].value
        let agreed = first.members.filter { member in
            values.allSatisfy { $0.value[member.key] == member.value }
        }
        object[identifier] = .object(JSONObject(agreed.map { ($0.key, $0.value) }))
        guard values.contains(where: { $0.value != first }) else { return }
        for (server, value) in values { object["\(server)__\(identifier)"] = .object(value) }
    }
}
