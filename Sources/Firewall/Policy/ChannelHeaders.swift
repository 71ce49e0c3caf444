import Domain

/// The headers that a policy may add to a webhook's requests.
package enum ChannelHeaders {
    /// Names that say where a request goes, where its body ends or what the body is: another value
    /// would have the receiver, or a proxy before it, read another request than was sent.
    private static let reserved: Set<String> = [
        "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    ]
    /// Beginnings of names that are ours, such as the signature's, or a proxy's.
    private static let reservedBeginnings = ["x-preloop-", "proxy-"]

    /// Whether a policy may not set a header of this name.
    package static func isReserved(_ name: String) -> Bool {
        let name = name.lowercased()
        return reserved.contains(name) || reservedBeginnings.contains { name.hasPrefix($0) }
    }
}

extension PolicyDocument.Workflow {
    /// Names of headers in ``channels`` that no policy may set, as they are written.
    var reservedHeaders: [String] {
        let headers = channels?["webhook"]?["headers"]?.object?.members ?? []
        return headers.map(\.key).filter(ChannelHeaders.isReserved)
    }
}
