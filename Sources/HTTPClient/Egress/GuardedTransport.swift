/// A transport for URLs that users set: each request goes to an address that its guard has vetted,
/// or nowhere.
///
/// Redirects stay within the origin, as the base's do, and so within the addresses.
package struct GuardedTransport: HTTPTransport {
    /// Addresses of a name that are tried: the versions of the protocol, and one more of each.
    private static let maximumAddresses = 4

    private let base: any HTTPTransport
    private let egress: EgressGuard
    private let cure: String?

    /// - Parameters:
    ///   - base: What sends; it connects to the address that a request is pinned to.
    ///   - egress: Vets the origin of each request.
    ///   - cure: What an operator can do about a host that is refused; refusals say it.
    package init(_ base: any HTTPTransport, by egress: EgressGuard, cure: String? = nil) {
        self.base = base
        self.egress = egress
        self.cure = cure
    }

    /// Makes the exchange once, with the first of the vetted addresses that takes a connection.
    ///
    /// - Returns: The answer.
    /// - Throws: ``HTTPError/forbidden(host:)`` when the host is none that may be reached: not what
    ///   it leads to, which is nobody's business who may not reach it.
    package func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        var request = request
        var left = try await addresses(of: request.url).prefix(Self.maximumAddresses)
        while true {
            request.pinnedAddress = left.popFirst()?.description
            do throws(HTTPError) {
                return try await base.send(request)
            } catch {
                switch error {
                case .connectionFailed where !left.isEmpty,
                    .timedOut(_, phase: .connect) where !left.isEmpty:
                    // Nothing was sent: the next address may do.
                    continue
                default: throw error
                }
            }
        }
    }

    /// Where a URL leads to, all of it allowed; never empty.
    ///
    /// The guard is shown the origin alone: queries of trackers may be long.
    private func addresses(of url: String) async throws(HTTPError) -> [IPAddress] {
        // A backslash ends the host to some programs and not to others.
        guard !url.utf8.contains(UInt8(ascii: "\\")), let origin = HTTPOrigin(of: url) else {
            throw .invalidURL(url: "…")
        }
        do throws(EgressRefusal) {
            return try await egress.target(of: "\(origin.scheme)://\(origin.host):\(origin.port)/")
                .addresses
        } catch {
            switch error {
            case .unusableURL: throw .invalidURL(url: "…")
            case .unresolved(let host): throw .nameNotResolved(host: host)
            case .unusualHost: throw .forbidden(host: origin.host)
            case .internalName, .internalAddress:
                throw .forbidden(host: origin.host, cure: cure)
            }
        }
    }
}
