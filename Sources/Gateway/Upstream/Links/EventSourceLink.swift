import Domain
import HTTPClient
import MCP

/// HTTP with server-sent events, of the protocol's first revision: one stream brings everything,
/// and says where messages are sent to.
actor EventSourceLink: UpstreamLink {
    /// The server says first where it takes messages.
    private static let announcement: Duration = .seconds(30)

    private let endpoint: HTTPEndpoint
    private let parser: MessageParser
    private var deliver: @Sendable (LinkEvent) async -> Void = { _ in }
    private var address: String?
    private var announced: [CheckedContinuation<Void, Never>] = []
    private var reading: Task<Void, Never>?
    private var failure: UpstreamError?
    private var isClosed = false

    init(endpoint: HTTPEndpoint, parser: MessageParser) {
        self.endpoint = endpoint
        self.parser = parser
    }

    func start(deliver: @escaping @Sendable (LinkEvent) async -> Void) async throws(UpstreamError) {
        self.deliver = deliver
        reading = Task { await self.read() }
        let timer = Task {
            // Cancelled when the address is known.
            try? await Task.sleep(for: Self.announcement)
            self.resume()
        }
        await withCheckedContinuation { announced.append($0) }
        timer.cancel()
        guard address == nil else { return }
        reading?.cancel()
        let seconds = Int(Self.announcement / .seconds(1))
        throw failure
            ?? .unreachable(reason: "it has named no address within \(seconds) seconds")
    }

    func begun(_ profile: ServerProfile) async {}

    func send(_ message: Message, _ context: LinkContext) async throws(UpstreamError) {
        guard let address, !isClosed else { throw .sessionEnded }
        var post = HTTPRequest(method: "POST", url: address)
        post.body = message.json.serialized()
        post.headers = [HTTPField("Content-Type", "application/json")] + message.traceHeaders
        post.isSentOnce = true
        post.limits.totalTimeout = .seconds(60)
        let head = try await endpoint.exchange(post) { _, _ in true }
        switch head.status {
        case 200..<300: return
        case 401, 403: throw .unauthorized(status: head.status)
        case 404: throw .sessionEnded
        default: throw .lost(reason: "it answers with HTTP status \(head.status)")
        }
    }

    func stop(_ call: ClientSession.CallID) async {}

    func close() async {
        isClosed = true
        reading?.cancel()
        resume()
    }

    private func resume() {
        let waiting = announced
        announced = []
        for continuation in waiting { continuation.resume() }
    }

    private func read() async {
        var request = HTTPRequest(method: "GET", url: endpoint.url)
        request.headers = [HTTPField("Accept", "text/event-stream")]
        request.limits.maximumResponseByteCount = 1 << 30
        request.limits.idleTimeout = HTTPEndpoint.longestStream
        request.limits.totalTimeout = HTTPEndpoint.longestStream
        var events = EventStreamParser(limit: parser.limits.bytes)
        var reason: UpstreamError
        do throws(UpstreamError) {
            let head = try await endpoint.exchange(request) { head, piece throws(UpstreamError) in
                guard head.status == 200, head.isEventStream else { return false }
                guard let found = try? events.add(piece) else {
                    throw .tooLarge(limit: parser.limits.bytes)
                }
                for event in found { try await take(event) }
                return true
            }
            switch head.status {
            case 200: reason = .lost(reason: "the stream ended")
            case 401, 403: reason = .unauthorized(status: head.status)
            default: reason = .unreachable(reason: "it answers with HTTP status \(head.status)")
            }
        } catch {
            reason = error
        }
        failure = reason
        resume()
        await deliver(.closed(reason))
    }

    private func take(_ event: EventStreamParser.Event) async throws(UpstreamError) {
        switch event.name {
        case "endpoint":
            let text = String(decoding: event.data, as: UTF8.self)
            // Elsewhere would be somewhere that nobody has allowed, with the credential.
            guard let url = resolvedURL(text, against: endpoint.url),
                HTTPOrigin(of: url) == HTTPOrigin(of: endpoint.url)
            else { throw .invalid(reason: "it wants messages sent to another origin") }
            address = url
            resume()
        case "message" where !event.data.isEmpty:
            do throws(MessageParser.Failure) {
                await deliver(.incoming(try parser.parse(event.data), during: nil))
            } catch {
                await deliver(.malformed(error, during: nil))
            }
        default: break
        }
    }
}
