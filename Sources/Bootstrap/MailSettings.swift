package import Domain
package import HTTPClient

/// What the environment says about the mail server.
///
/// - `SMTP_HOST`: its name; without it nothing is mailed.
/// - `SMTP_PORT`: 587, and 465 with `SMTP_SECURITY=tls`.
/// - `SMTP_SECURITY`: `starttls` (the default), `tls`, or `none` for a server on this machine.
/// - `SMTP_USERNAME`, `SMTP_PASSWORD`: where it asks for a login.
/// - `SMTP_FROM`: the address that messages come from; needed with `SMTP_HOST`.
/// - `SMTP_FROM_NAME`: what the sender is called; `Preloop`.
package struct MailSettings: Sendable {
    /// Nil where nothing is mailed.
    package var configuration: CurlMailer.Configuration?

    /// Reads variables; an empty one counts as not set.
    package init(environment: [String: String]) throws(CommandFailure) {
        func value(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        guard let host = value("SMTP_HOST") else { return }
        let word = value("SMTP_SECURITY") ?? "starttls"
        guard let security = CurlMailer.Security(rawValue: word.lowercased()) else {
            throw CommandFailure(
                .usage,
                "`SMTP_SECURITY` is `\(word)`",
                hint: "set it to starttls, tls or none"
            )
        }
        let text = value("SMTP_PORT") ?? (security == .tls ? "465" : "587")
        guard let port = Int(text), (1...65_535).contains(port) else {
            throw CommandFailure(
                .usage,
                "`SMTP_PORT` is `\(text)`",
                hint: "set it to a number from 1 to 65535"
            )
        }
        guard let sender = value("SMTP_FROM") else {
            throw CommandFailure(
                .usage,
                "`SMTP_HOST` is set, and `SMTP_FROM` is not",
                hint: "set it to the address that messages come from"
            )
        }
        var configuration = CurlMailer.Configuration(
            host: host,
            port: port,
            security: security,
            sender: sender
        )
        configuration.user = value("SMTP_USERNAME")
        configuration.password = value("SMTP_PASSWORD")
        configuration.senderName = value("SMTP_FROM_NAME") ?? "Preloop"
        configuration.certificateFile = value("CURL_CA_BUNDLE") ?? value("SSL_CERT_FILE")
        self.configuration = configuration
    }

    /// What delivers messages; nil where nothing is mailed.
    package func mailer(now: @escaping @Sendable () -> Timestamp) -> CurlMailer? {
        configuration.map { configuration in
            CurlMailer(configuration, now: { now().milliseconds })
        }
    }
}
