/// A complete answer, whatever its status.
package struct HTTPResponse: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    /// Decoded: content encodings are undone.
    package var body: [UInt8]
    /// Where the answer came from, after redirects.
    package var effectiveURL: String

    package init(status: Int, headers: HTTPHeaders, body: [UInt8], effectiveURL: String) {
        self.status = status
        self.headers = headers
        self.body = body
        self.effectiveURL = effectiveURL
    }
}

/// Header lines with names compared without regard to ASCII case (RFC 9110, section 5.1).
package struct HTTPHeaders: Sendable, Equatable {
    /// Lines in the order received.
    package private(set) var fields: [HTTPField]

    package init(_ fields: [HTTPField] = []) {
        self.fields = fields
    }

    /// The first value of `name`.
    package subscript(name: String) -> String? {
        let wanted = name.lowercased()
        return fields.first { $0.name.lowercased() == wanted }?.value
    }

    /// Every value of `name`, in order.
    package func values(of name: String) -> [String] {
        let wanted = name.lowercased()
        return fields.filter { $0.name.lowercased() == wanted }.map(\.value)
    }
}
