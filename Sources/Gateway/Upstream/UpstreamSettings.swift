package import Domain
package import HTTPClient
package import MCP

/// What an operator has said about upstream servers, the same for all of them.
package struct UpstreamSettings: Sendable {
    /// Vets addresses.
    package var egress: EgressGuard
    /// Variables of this process that `${NAME}` may stand for.
    package var variables: Set<String>
    /// All variables of this process.
    package var environment: [String: String]
    /// What Preloop calls itself towards servers.
    package var client: ClientDescription
    /// How long a call may take; the caller's own limit is another.
    package var parser: MessageParser

    /// What programs get of the environment without being asked: what nearly all need to start.
    private static let inherited = [
        "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "USER", "LOGNAME",
    ]
    /// Results with pictures and sound are greater than what agents send.
    private static let messageBytes = 16 << 20

    /// - Parameters:
    ///   - environment: All variables of this process.
    ///   - allowed: Networks and hosts that may be reached besides the public Internet.
    ///   - variables: Names that `${NAME}` may stand for.
    ///   - version: The product's.
    package init(
        environment: [String: String],
        allowed: [String] = [],
        variables: [String] = [],
        version: String
    ) {
        egress = EgressGuard(allowing: allowed)
        self.variables = Set(variables)
        self.environment = environment
        client = ClientDescription(name: "preloop", version: version)
        var limits = MessageParser.Limits()
        limits.bytes = Self.messageBytes
        limits.depth = 128
        parser = MessageParser(limits: limits)
    }

    /// Puts variables of this process in the place of `${NAME}`.
    ///
    /// - Throws: ``UpstreamError/misconfigured(reason:)`` for names that are not allowed or set.
    func expanded(_ text: String) throws(UpstreamError) -> String {
        var (result, rest) = ("", text[...])
        while let start = rest.range(of: "${") {
            result += rest[..<start.lowerBound]
            rest = rest[start.upperBound...]
            guard let end = rest.firstIndex(of: "}") else {
                throw .misconfigured(reason: "`${` without `}`")
            }
            let name = String(rest[..<end])
            guard variables.contains(name) else {
                throw .misconfigured(
                    reason: "`${\(name)}` is not allowed: PRELOOP_UPSTREAM_ENV does not name it"
                )
            }
            guard let value = environment[name] else {
                throw .misconfigured(reason: "the variable `\(name)` is not set")
            }
            result += value
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }

    /// The variables of a program: what nearly all need, and its own.
    func variables(of own: [String: String]) throws(UpstreamError) -> [String: String] {
        var result: [String: String] = [:]
        for name in Self.inherited { result[name] = environment[name] }
        for (name, value) in own { result[name] = try expanded(value) }
        return result
    }
}

extension Substring {
    /// Where a text begins and ends in this one; nil when it is not in it.
    fileprivate func range(of text: String) -> Range<Index>? {
        let (bytes, wanted) = (utf8, Array(text.utf8))
        var place = bytes.startIndex
        while place < bytes.endIndex {
            if bytes[place...].starts(with: wanted) {
                return place..<bytes.index(place, offsetBy: wanted.count)
            }
            place = bytes.index(after: place)
        }
        return nil
    }
}

/// What a server must be given and nobody may see: kept sealed, as JSON.
package struct UpstreamSecret: Sendable, Equatable {
    /// A token or key; `${NAME}` stands for a variable of this process.
    package var token: String?
    /// Variables of a server's program.
    package var environment: [String: String]
    /// What somebody has signed in for.
    package var oauth: OAuthGrant?

    package init(token: String? = nil, environment: [String: String] = [:]) {
        self.token = token
        self.environment = environment
    }

    /// Whether there is nothing to keep.
    package var isEmpty: Bool { token == nil && environment.isEmpty && oauth == nil }

    /// As it is sealed.
    package var sealable: Secret {
        var object = JSONObject()
        if let token { object.append(key: "token", value: .string(token)) }
        let variables = environment.sorted { $0.key < $1.key }
        object.append(
            key: "environment",
            value: .object(JSONObject(variables.map { ($0.key, .string($0.value)) }))
        )
        if let oauth { object.append(key: "oauth", value: oauth.json) }
        return Secret(JSONValue.object(object).serializedText())
    }

    /// Reads what was sealed; nil for what is none.
    package init?(opened secret: Secret) {
        guard case .object(let object) = try? JSONParser.parse(secret.reveal()) else { return nil }
        token = object["token"]?.string
        oauth = object["oauth"].flatMap { OAuthGrant($0) }
        environment = [:]
        for member in object["environment"]?.object?.members ?? [] {
            environment[member.key] = member.value.string
        }
    }
}
