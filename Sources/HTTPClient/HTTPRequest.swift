/// One HTTP exchange to make.
package struct HTTPRequest: Sendable {
    package var method: String
    /// An absolute http or https URL, already percent-encoded; it is sent byte for byte, so `%2F`
    /// stays.
    package var url: String
    /// In order; names may repeat.
    package var headers: [HTTPField]
    package var body: [UInt8]?
    package var limits: HTTPLimits
    /// False for what must not be sent twice.
    ///
    /// libcurl repeats a request by itself, whatever its method, when a connection that was kept
    /// open ends before the first byte of the answer; on a connection of its own it never does.
    package var mayReuseConnection = true
    /// The same promise while connections are kept: the body is sent once, or the exchange fails.
    package var isSentOnce = false
    /// The address to connect to in place of what the host's name stands for at that moment.
    ///
    /// One that has been looked at, without brackets; TLS and `Host` keep the name. Proxies of the
    /// environment do not count then.
    package var pinnedAddress: String?

    package init(
        method: String = "GET",
        url: String,
        headers: [HTTPField] = [],
        body: [UInt8]? = nil,
        limits: HTTPLimits = HTTPLimits()
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.limits = limits
    }
}

/// One header line.
package struct HTTPField: Sendable, Hashable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What an exchange may cost.
package struct HTTPLimits: Sendable, Equatable {
    /// Decoded response bytes; 64 MiB holds a page of a hundred issues with megabyte bodies.
    package var maximumResponseByteCount = 64 << 20
    package var connectTimeout: Duration = .seconds(15)
    /// No byte for so long ends the exchange; a slow service that keeps sending is no error.
    package var idleTimeout: Duration = .seconds(60)
    /// The whole exchange, generous because slow is not dead.
    package var totalTimeout: Duration = .seconds(600)
    /// Redirects of GET and HEAD followed within one origin; the caller sees all others as
    /// responses.
    package var maximumRedirects = 5

    package init() {}
}
