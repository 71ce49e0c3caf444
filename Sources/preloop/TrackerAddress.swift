import ArgumentParser
import Domain

/// A tracker's base URL as it is stored, and what it says about the deployment.
struct TrackerAddress {
    /// Without user, query, fragment and final slash; empty for the vendor's own cloud.
    let url: String
    private let isVendorCloud: Bool

    /// Reads an http or https URL; nil is the vendor's own cloud.
    ///
    /// - Throws: `ValidationError` for anything else, and for a URL that carries a password.
    init(url: String?) throws {
        guard let url else {
            self.url = ""
            isVendorCloud = true
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
        let host = authority.prefix { $0 != UInt8(ascii: ":") }
        guard !host.isEmpty else { throw ValidationError("--url has no host") }
        var kept = bytes
        while kept.last == UInt8(ascii: "/") { kept.removeLast() }
        self.url = String(decoding: kept, as: UTF8.self)
        isVendorCloud = Self.isVendorCloud(String(decoding: host, as: UTF8.self).lowercased())
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

    private static func isVendorCloud(_ host: String) -> Bool {
        ["github.com", "api.github.com", "gitlab.com", "api.atlassian.com"].contains(host)
            || host.hasSuffix(".atlassian.net") || host.hasSuffix(".ghe.com")
    }
}
