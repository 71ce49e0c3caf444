package import Domain

/// Where spans are sent, by OpenTelemetry's own variables; nowhere when none is set.
///
/// - `OTEL_EXPORTER_OTLP_ENDPOINT`: a collector's base URL, such as `http://127.0.0.1:4318`; spans
///   go to `/v1/traces` below it.
/// - `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: the whole address for spans, in place of that.
/// - `OTEL_EXPORTER_OTLP_HEADERS`: further headers, `name=value` by commas, percent-encoded.
/// - `OTEL_SERVICE_NAME`: `preloop`.
package struct TelemetrySettings: Sendable {
    package var url: String
    package var headers: [(name: String, value: Secret)]
    package var serviceName: String

    /// Reads variables; nil when nobody wants spans.
    package init?(environment: [String: String]) throws(CommandFailure) {
        func value(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        let example = "a collector's address, such as http://127.0.0.1:4318"
        if let text = value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            url = try Settings.url(
                text,
                variable: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                example: example
            )
        } else if let text = value("OTEL_EXPORTER_OTLP_ENDPOINT") {
            let base = try Settings.url(
                text,
                variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
                example: example
            )
            url = base + "/v1/traces"
        } else {
            return nil
        }
        headers = []
        for pair in (value("OTEL_EXPORTER_OTLP_HEADERS") ?? "").split(separator: ",") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0].filter { $0 != " " }
            guard parts.count == 2, Self.isName(name),
                let decoded = Self.decoded(parts[1]), Self.isValue(decoded)
            else {
                throw CommandFailure(
                    .usage,
                    "`OTEL_EXPORTER_OTLP_HEADERS` is no list of headers",
                    hint: "write name=value, several by commas"
                )
            }
            headers.append((name, Secret(decoded)))
        }
        serviceName = value("OTEL_SERVICE_NAME") ?? "preloop"
    }

    private static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }

    private static func isValue(_ text: String) -> Bool {
        text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
    }

    /// Undoes percent-encoding.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8.drop { $0 == 0x20 }
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let number = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(number)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
