/// What the environment says about `preloop serve`.
///
/// - `PRELOOP_URL`: where users reach the server, such as `https://preloop.example.com`; where it
///   listens.
/// - `PRELOOP_ALLOWED_HOSTS`: further names that requests may give as `Host`, by commas.
/// - `ALLOWED_ORIGINS`: pages that may call besides the server's own, by commas.
/// - `REGISTRATION_ENABLED`: `true` lets strangers make accounts.
/// - `ACCESS_TOKEN_EXPIRE_MINUTES`: 15.
/// - `REFRESH_TOKEN_EXPIRE_DAYS`: 7.
/// - `MAX_SESSION_DAYS`: 30.
/// - `PRELOOP_TLS_CERTIFICATE`, `PRELOOP_TLS_KEY`: files (PEM) with which the server speaks TLS; it
///   does not.
/// - `PRELOOP_TRUSTED_PROXIES`: addresses and ranges (`10.0.0.0/8`) of proxies whose
///   `X-Forwarded-For` counts, by commas; none.
/// - `OTEL_EXPORTER_OTLP_ENDPOINT` and others: see ``TelemetrySettings``.
/// - `LOG_LEVEL`: `debug`, `info`, `warning` or `error`; `info`.
package struct ServerSettings: Sendable {
    /// Without a final slash; nil where it listens.
    package var publicURL: String?
    package var allowedHosts: [String]
    package var allowedOrigins: [String]
    package var allowsRegistration: Bool
    package var accessTime: Duration
    package var refreshTime: Duration
    package var sessionTime: Duration
    /// One of swift-log's names.
    package var logLevel: String
    /// The files of the server's certificate and its key; nil for no TLS.
    package var identity: (certificate: String, key: String)?
    /// As they were given.
    package var trustedProxies: [String]
    /// Where spans are sent; nil for nowhere.
    package var telemetry: TelemetrySettings?

    /// Reads variables; an empty one counts as not set.
    package init(environment: [String: String]) throws(CommandFailure) {
        func value(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        publicURL = try value("PRELOOP_URL").map { text throws(CommandFailure) in
            try Settings.url(text, variable: "PRELOOP_URL")
        }
        allowedHosts = Self.list(value("PRELOOP_ALLOWED_HOSTS"))
        allowedOrigins = Self.list(value("ALLOWED_ORIGINS"))
        guard !allowedOrigins.contains("*") else {
            throw CommandFailure(
                .usage,
                "`ALLOWED_ORIGINS` is `*`",
                reason: "any page a user opens could then call the server in the user's name",
                hint: "list the pages that may, such as https://console.example.com"
            )
        }
        allowsRegistration = try Self.flag(value, "REGISTRATION_ENABLED")
        let minutes = try Settings.number(value, "ACCESS_TOKEN_EXPIRE_MINUTES", 1...1_440) ?? 15
        accessTime = .seconds(60 * minutes)
        let days = try Settings.number(value, "REFRESH_TOKEN_EXPIRE_DAYS", 1...365) ?? 7
        refreshTime = .seconds(86_400 * days)
        let most = try Settings.number(value, "MAX_SESSION_DAYS", 1...365) ?? 30
        sessionTime = .seconds(86_400 * most)
        trustedProxies = Self.list(value("PRELOOP_TRUSTED_PROXIES"))
        telemetry = try TelemetrySettings(environment: environment)
        switch (value("PRELOOP_TLS_CERTIFICATE"), value("PRELOOP_TLS_KEY")) {
        case (nil, nil): identity = nil
        case (let certificate?, let key?): identity = (certificate, key)
        case (let certificate, _):
            let missing = certificate == nil ? "PRELOOP_TLS_CERTIFICATE" : "PRELOOP_TLS_KEY"
            throw CommandFailure(
                .usage,
                "`\(missing)` is not set",
                hint: "a certificate and its key belong together"
            )
        }
        logLevel = value("LOG_LEVEL")?.lowercased() ?? "info"
        let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]
        guard levels.contains(logLevel) else {
            throw CommandFailure(
                .usage,
                "`LOG_LEVEL` is `\(logLevel)`",
                hint: "set it to one of \(levels.joined(separator: ", "))"
            )
        }
    }

    private static func list(_ text: String?) -> [String] {
        (text ?? "").split(separator: ",").map { item in
            var item = item
            while item.first == " " { item.removeFirst() }
            while item.last == " " || item.last == "/" { item.removeLast() }
            return String(item)
        }.filter { !$0.isEmpty }
    }

    private static func flag(
        _ value: (String) -> String?,
        _ name: String
    ) throws(CommandFailure) -> Bool {
        switch value(name)?.lowercased() {
        case nil, "false", "0", "no": return false
        case "true", "1", "yes": return true
        case let other?:
            throw CommandFailure(
                .usage,
                "`\(name)` is `\(other)`",
                hint: "set it to true or false, or not at all"
            )
        }
    }
}
