import CCurl
import Glibc

/// Delivers messages by SMTP through libcurl, each on a thread of its own while it lasts.
package struct CurlMailer: MailTransport {
    /// How the connection is secured.
    package enum Security: String, Sendable, CaseIterable {
        /// Plain at first; given up when the server has no TLS.
        case startTLS = "starttls"
        /// From the first byte.
        case tls
        /// For a server on the same machine.
        case none
    }

    /// Which server, and who writes.
    package struct Configuration: Sendable {
        package var host: String
        package var port: Int
        package var security: Security
        /// Nil where the server asks for no login.
        package var user: String?
        package var password: String?
        /// The address that messages come from.
        package var sender: String
        package var senderName: String
        /// Certificate authorities to trust instead of the system's.
        package var certificateFile: String?

        package init(host: String, port: Int, security: Security, sender: String) {
            self.host = host
            self.port = port
            self.security = security
            self.sender = sender
            senderName = "Preloop"
        }
    }

    /// Servers that take longer are not there for anybody.
    private static let patience = 30_000

    private let configuration: Configuration
    private let now: @Sendable () -> Int64

    /// - Parameters:
    ///   - configuration: Which server.
    ///   - now: Milliseconds since the epoch, for the date of a message.
    package init(_ configuration: Configuration, now: @escaping @Sendable () -> Int64) {
        self.configuration = configuration
        self.now = now
    }

    /// Hands a message to the mail server; returns when the server has taken it.
    package func send(_ message: MailMessage) async throws(MailError) {
        for address in message.to + [configuration.sender]
        where !MailMessage.isAddress(address) {
            throw .invalidAddress(address)
        }
        guard (1...MailMessage.maximumRecipients).contains(message.to.count) else {
            throw .invalidAddress("")
        }
        let configuration = configuration
        var generator = SystemRandomNumberGenerator()
        let bytes = message.bytes(
            from: configuration.sender,
            name: configuration.senderName,
            identifier: String(generator.next(), radix: 36) + String(generator.next(), radix: 36),
            at: now()
        )
        let outcome = await withCheckedContinuation { continuation in
            let isStarted = startThread {
                let outcome = Self.deliver(bytes, to: message.to, configuration)
                continuation.resume(returning: outcome)
            }
            if !isStarted {
                let reason = "cannot start a thread"
                continuation.resume(
                    returning: .failure(.unavailable(host: configuration.host, reason: reason))
                )
            }
        }
        try outcome.get()
    }

    /// Blocks until the server has taken the message.
    private static func deliver(
        _ bytes: [UInt8],
        to recipients: [String],
        _ configuration: Configuration
    ) -> Result<Void, MailError> {
        let host = configuration.host
        guard CurlMulti.isInitialized else {
            return .failure(.unavailable(host: host, reason: "libcurl cannot be initialised"))
        }
        let scheme = configuration.security == .tls ? "smtps" : "smtp"
        let name = host.contains(":") ? "[\(host)]" : host
        let texts =
            [
                "\(scheme)://\(name):\(configuration.port)", configuration.user ?? "",
                configuration.password ?? "", "<\(configuration.sender)>",
                configuration.certificateFile ?? "",
            ] + recipients.map { "<\($0)>" }
        let pointers = unsafe texts.map { unsafe UnsafePointer(strdup($0)) }
        defer {
            unsafe pointers.forEach { unsafe free(UnsafeMutablePointer(mutating: $0)) }
        }
        var error = [CChar](repeating: 0, count: Int(CURL_ERROR_SIZE))
        var status = 0
        let code = unsafe bytes.withUnsafeBufferPointer { message in
            unsafe message.withMemoryRebound(to: CChar.self) { message in
                unsafe Array(pointers.dropFirst(5)).withUnsafeBufferPointer { addresses in
                    var mail = unsafe preloop_mail()
                    unsafe mail.url = pointers[0]
                    unsafe mail.user = configuration.user == nil ? nil : pointers[1]
                    unsafe mail.password = configuration.password == nil ? nil : pointers[2]
                    unsafe mail.from = pointers[3]
                    unsafe mail.authorities =
                        configuration.certificateFile == nil ? nil : pointers[4]
                    unsafe mail.recipients = addresses.baseAddress
                    unsafe mail.recipient_count = addresses.count
                    unsafe mail.message = message.baseAddress
                    unsafe mail.length = message.count
                    unsafe mail.timeout_milliseconds = patience
                    unsafe mail.requires_tls = configuration.security == .none ? 0 : 1
                    return unsafe preloop_curl_send_mail(&mail, &error, &status)
                }
            }
        }
        guard code != CURLE_OK else { return .success(()) }
        let detail = String(
            decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
        return .failure(Self.error(code, host, detail, status))
    }

    private static func error(
        _ code: CURLcode,
        _ host: String,
        _ detail: String,
        _ status: Int
    ) -> MailError {
        switch code {
        case CURLE_LOGIN_DENIED: return .signInRefused(host: host)
        case CURLE_USE_SSL_FAILED, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CONNECT_ERROR,
            CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM:
            return .insecure(host: host, reason: detail)
        // 4yz is for now, 5yz for good (RFC 5321, 4.2.1).
        case _ where (500..<600).contains(status): return .refused(host: host, status: status)
        default: return .unavailable(host: host, reason: detail)
        }
    }
}
