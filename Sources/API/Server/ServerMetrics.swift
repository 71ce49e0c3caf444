import Domain
import HTTPTypes
import Synchronization

/// What the server counts, and its text for Prometheus (exposition format 0.0.4).
final class ServerMetrics: Sendable {
    /// Upper bounds of the buckets in seconds: from a cached answer to a call that waits.
    static let bounds: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120,
    ]

    private struct Key: Hashable {
        var method: String
        var route: String
        var status: Int
    }

    private struct Histogram {
        var buckets = [Int](repeating: 0, count: bounds.count)
        var count = 0
        var sum = 0.0
    }

    private struct State {
        var requests: [Key: Int] = [:]
        var durations: [String: Histogram] = [:]
    }

    /// Something that is measured when it is asked for.
    struct Sample: Sendable {
        var name: String
        var help: String
        /// `gauge` or `counter`.
        var kind: String
        var value: Double
        var labels: [(name: String, value: String)] = []
    }

    private let state = Mutex(State())
    private let inFlightCount = Atomic<Int>(0)

    /// Requests that are being served.
    var inFlight: Int { inFlightCount.load(ordering: .relaxed) }

    /// A request begins; gives how many there are with it.
    func begin() -> Int {
        inFlightCount.add(1, ordering: .relaxed).newValue
    }

    /// A request has ended; `route` is its pattern, so that there are few of them.
    func end(
        _ method: HTTPRequest.Method,
        route: String,
        status: HTTPResponse.Status,
        duration: Duration
    ) {
        inFlightCount.subtract(1, ordering: .relaxed)
        let seconds = duration / .seconds(1)
        let name = Self.name(of: method)
        state.withLock { state in
            let key = Key(method: name, route: route, status: status.code)
            state.requests[key, default: 0] += 1
            var histogram = state.durations[route] ?? Histogram()
            histogram.count += 1
            histogram.sum += seconds
            if let bucket = Self.bounds.firstIndex(where: { seconds <= $0 }) {
                histogram.buckets[bucket] += 1
            }
            state.durations[route] = histogram
        }
    }

    /// Any word can stand for a method; only the usual ones are counted by name.
    static func name(of method: HTTPRequest.Method) -> String {
        let known: Set<HTTPRequest.Method> = [.get, .head, .post, .put, .patch, .delete, .options]
        return known.contains(method) ? method.rawValue : "other"
    }

    /// The text that a collector reads.
    func text(_ samples: [Sample]) -> String {
        let (requests, durations) = state.withLock { ($0.requests, $0.durations) }
        var text = Self.head("preloop_http_requests_total", "Requests served.", "counter")
        let rows = requests.sorted {
            ($0.key.route, $0.key.method, $0.key.status)
                < ($1.key.route, $1.key.method, $1.key.status)
        }
        for (key, count) in rows {
            text += "preloop_http_requests_total{method=\"\(key.method)\","
            text += "route=\"\(Self.escaped(key.route))\",status=\"\(key.status)\"} \(count)\n"
        }
        let name = "preloop_http_request_duration_seconds"
        text += Self.head(name, "From the head of a request to the end of its answer.", "histogram")
        for (route, histogram) in durations.sorted(by: { $0.key < $1.key }) {
            let label = "route=\"\(Self.escaped(route))\""
            var sum = 0
            for (bound, count) in zip(Self.bounds, histogram.buckets) {
                sum += count
                text += "\(name)_bucket{\(label),le=\"\(bound)\"} \(sum)\n"
            }
            text += "\(name)_bucket{\(label),le=\"+Inf\"} \(histogram.count)\n"
            text += "\(name)_sum{\(label)} \(histogram.sum)\n"
            text += "\(name)_count{\(label)} \(histogram.count)\n"
        }
        var named: Set<String> = []
        for sample in samples {
            if named.insert(sample.name).inserted {
                text += Self.head(sample.name, sample.help, sample.kind)
            }
            let labels = sample.labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }
            let list = labels.isEmpty ? "" : "{\(labels.joined(separator: ","))}"
            text += "\(sample.name)\(list) \(Self.number(sample.value))\n"
        }
        return text
    }

    private static func head(_ name: String, _ help: String, _ kind: String) -> String {
        "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
    }

    private static func number(_ value: Double) -> String {
        Int(exactly: value).map(String.init) ?? "\(value)"
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.append(character)
            }
        }
        return result
    }
}
