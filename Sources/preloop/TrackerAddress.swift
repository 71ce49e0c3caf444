import ArgumentParser
import Domain

/// A tracker's base URL as it is stored, and what it says about the deployment.
struct TrackerAddress {
    /// Without user, query, fragment and final slash; empty for the vendor's own cloud.
    let url: String
    private let host: String

    /// Reads an http or https URL; nil is the vendor's own cloud.
    ///
    /// - Throws: `ValidationError` for anything else, and for a URL that carries a password.
    init(url: String?) throws {
        guard let url else {
            self.url = ""
            host = ""
            return
        }
        let bytes = Array(url.utf8)
        guard let scheme = ["https://", "http://"].first(where: { bytes.starts(with: $0.utf8) })
        else { throw ValidationError("--url begins with https:// or http://") }
        guard bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ValidationError("--url holds a space or a character beyond ASCII")
        }
        let rest = bytes.dropFirst(scheme.utf8.count)
        guard !rest.contains(UInt8(ascii: "?")), !rest.contains(UInt8(ascii: "#")) else {
            throw ValidationError("--url has no query and no fragment")
        }
        let authority = rest.prefix { $0 != UInt8(ascii: "/") }
        guard !authority.contains(UInt8(ascii: "@")) else {
            throw ValidationError("--url carries no user name or password; use --user and a token")
        }
        host = try Self.host(of: Array(authority)).lowercased()
        var kept = bytes
        while kept.last == UInt8(ascii: "/") { kept.removeLast() }
        self.url = String(decoding: kept, as: UTF8.self)
    }

    /// The host of `host`, `host:port` or `[address]:port`.
    private static func host(of authority: [UInt8]) throws -> String {
        var host = authority[...]
        var port: ArraySlice<UInt8>?
        if authority.first == UInt8(ascii: "["), let end = authority.firstIndex(of: 0x5D) {
            host = authority[1..<end]
            let isAddress = host.allSatisfy { byte in
                (48...58).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
                    || byte == UInt8(ascii: ".")
            }
            let rest = authority[(end + 1)...]
            guard isAddress, host.contains(UInt8(ascii: ":")),
                rest.isEmpty || rest.first == UInt8(ascii: ":")
            else { throw ValidationError("--url has no valid address in brackets") }
            port = rest.isEmpty ? nil : rest.dropFirst()
        } else {
            host = authority.prefix { $0 != UInt8(ascii: ":") }
            port = host.count == authority.count ? nil : authority[(host.count + 1)...]
            guard isName(host) else { throw ValidationError("--url has no valid host") }
        }
        if let port {
            let number = Int(String(decoding: port, as: UTF8.self)) ?? 0
            guard port.allSatisfy({ (48...57).contains($0) }), (1...65_535).contains(number) else {
                throw ValidationError("the port of --url is a number from 1 to 65535")
            }
        }
        return String(decoding: host, as: UTF8.self)
    }

    /// Labels of letters, digits, hyphens and underscores between dots (RFC 952, 1123, and what
    /// internal names look like).
    private static func isName(_ host: ArraySlice<UInt8>) -> Bool {
        let labels = host.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        // A final dot is that of an absolute name.
        let named =
            labels.count > 1 && labels.last?.isEmpty == true ? labels.dropLast() : labels[...]
        return host.count <= 253
            && named.allSatisfy { label in
                (1...63).contains(label.count) && label.first != UInt8(ascii: "-")
                    && label.last != UInt8(ascii: "-")
                    && label.allSatisfy { byte in
                        (48...57).contains(byte) || (65...90).contains(byte)
                            || (97...122).contains(byte) || byte == UInt8(ascii: "-")
                            || byte == UInt8(ascii: "_")
                    }
            }
    }

    /// The deployment when the operator does not name it.
    ///
    /// A Jira user that is an e-mail address is an Atlassian account, also behind another host
    /// name.
    func deployment(of kind: TrackerKind, user: String?) -> TrackerDeployment {
        if isVendorCloud { return .cloud }
        let isAtlassianAccount = kind == .jira && (user ?? "").utf8.contains(UInt8(ascii: "@"))
        return isAtlassianAccount ? .cloud : .server
    }

    /// Refuses what no service of this kind takes.
    ///
    /// Jira Cloud's sites take API tokens with their owner's e-mail address; only its gateway takes
    /// bearer tokens.
    func validate(
        for kind: TrackerKind,
        deployment: TrackerDeployment?,
        user: String?
    ) throws {
        if kind == .jira, url.isEmpty { throw ValidationError("jira needs --url") }
        if let user {
            guard kind == .jira else { throw ValidationError("--user is for jira only") }
            let isPlain = user.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F }
            guard !user.isEmpty, isPlain, !user.utf8.contains(UInt8(ascii: ":")) else {
                throw ValidationError("--user is a name or an e-mail address")
            }
        }
        guard deployment == nil || kind == .jira else {
            throw ValidationError("--deployment is for jira only; the URL tells it of \(kind)")
        }
        let isCloud = (deployment ?? self.deployment(of: kind, user: user)) == .cloud
        guard kind != .jira || !isCloud || user != nil || host == Self.gateway else {
            throw ValidationError(
                "Jira Cloud needs --user, the e-mail address of the token's owner"
            )
        }
    }

    /// Takes the bearer tokens of OAuth.
    private static let gateway = "api.atlassian.com"

    private var isVendorCloud: Bool {
        ["", "github.com", "api.github.com", "gitlab.com", Self.gateway].contains(host)
            || host.hasSuffix(".atlassian.net") || host.hasSuffix(".ghe.com")
    }
}
