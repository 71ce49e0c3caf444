import Bootstrap
import Domain
import HTTPClient
import Synchronization
import TestSupport
import Testing

/// Spans on their way to a collector.
struct TelemetryTests {
    private func settings(_ origin: String, _ more: [String: String] = [:]) throws
        -> TelemetrySettings
    {
        let base = ["OTEL_EXPORTER_OTLP_ENDPOINT": origin]
        return try #require(
            try TelemetrySettings(environment: base.merging(more) { $1 })
        )
    }

    private func exporter(
        _ settings: TelemetrySettings,
        _ limits: SpanExporter.Limits,
        _ report: @escaping @Sendable (String, Int) -> Void = { _, _ in }
    ) throws -> SpanExporter {
        let client = try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        return SpanExporter(
            settings,
            version: "1.2.3",
            transport: client,
            limits: limits,
            report: report
        )
    }

    private func record(_ count: Int, in exporter: SpanExporter) {
        for number in 0..<count {
            let trace = Trace(TraceContext(isSampled: true)) { exporter.record($0) }
            trace.end {
                var span = Span(
                    "work \(number)",
                    .server,
                    trace,
                    parent: 7,
                    end: Timestamp(milliseconds: 1_700_000_000_000),
                    duration: .milliseconds(5)
                )
                span.attributes["number"] = .integer(Int64(number))
                span.isFailure = number == 1
                return span
            }
        }
    }

    @Test func `spans come in batches, in the form of OTLP`() async throws {
        let collector = try ScriptedHTTPServer { _ in [.answer(200, text: "{}")] }
        defer { collector.stop() }
        let headers = ["OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20x, X-Tenant=a"]
        var limits = SpanExporter.Limits()
        limits.batch = 2
        limits.farewell = .seconds(60)
        let exporter = try exporter(try settings(collector.origin, headers), limits)
        record(3, in: exporter)
        let running = Task { await exporter.run() }
        // What is left is sent when the server stops.
        running.cancel()
        await running.value
        let requests = collector.requests
        #expect(requests.map(\.target) == ["/v1/traces", "/v1/traces"])
        #expect(requests[0].headers["authorization"] == "Bearer x")
        #expect(requests[0].headers["x-tenant"] == "a")
        #expect(requests[0].headers["content-type"] == "application/json")
        let document = try JSONParser.parse(requests[0].body)
        let resource = document["resourceSpans"]?[0]
        let name = resource?["resource"]?["attributes"]?[0]
        #expect(name == ["key": "service.name", "value": ["stringValue": "preloop"]])
        let spans = resource?["scopeSpans"]?[0]?["spans"]
        #expect(spans?.array?.count == 2)
        #expect(spans?[0]?["traceId"]?.string?.utf8.count == 32)
        #expect(spans?[0]?["parentSpanId"] == "0000000000000007")
        #expect(spans?[0]?["kind"] == 2 && spans?[0]?["name"] == "work 0")
        #expect(spans?[0]?["endTimeUnixNano"] == "1700000000000000000")
        #expect(spans?[0]?["startTimeUnixNano"] == "1699999999995000000")
        #expect(spans?[1]?["status"]?["code"] == 2 && spans?[0]?["status"]?["code"] == nil)
        let attribute = spans?[1]?["attributes"]?[0]
        #expect(attribute == ["key": "number", "value": ["intValue": "1"]])
    }

    @Test func `a collector that is away costs spans and nothing else`() async throws {
        let lost = Mutex<[(String, Int)]>([])
        var limits = SpanExporter.Limits()
        limits.waiting = 10
        limits.farewell = .milliseconds(100)
        // Nobody listens on port 9.
        let exporter = try exporter(try settings("http://127.0.0.1:9"), limits) { reason, count in
            lost.withLock { $0.append((reason, count)) }
        }
        record(25, in: exporter)
        let running = Task { await exporter.run() }
        running.cancel()
        await running.value
        let counts = lost.withLock { $0.map(\.1) }
        #expect(counts.contains(15) && counts.reduce(0, +) == 25)
    }

    @Test func `no variable means no collector, and nonsense is refused`() throws {
        #expect(try TelemetrySettings(environment: [:]) == nil)
        let whole = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector/otlp"]
        #expect(try TelemetrySettings(environment: whole)?.url == "http://collector/otlp")
        #expect(try settings("http://collector:4318/").url == "http://collector:4318/v1/traces")
        for wrong in [
            ["OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"],
            ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "a"],
            ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "a=%0Ab"],
            ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "a b:=c"],
        ] {
            #expect(throws: CommandFailure.self) { try TelemetrySettings(environment: wrong) }
        }
    }
}
