import Glibc

/// A small HTTP/1.1 server for loopback: one thread a connection, keep-alive, bodies with a length.
///
/// It exists for the demo and for tests that need a tracker without installing one; it is no server
/// for anything else.
final class HTTPServer: Sendable {
    /// What a client asked for.
    struct Request: Sendable {
        var method: String
        /// Percent-decoded path segments; an encoded slash stays inside its segment.
        var path: [String]
        /// Percent-decoded query items; of repeated names the last counts.
        var query: [String: String]
        /// Names in lower case.
        var headers: [String: String]
        var body: [UInt8]

        /// Whether its method changes nothing.
        var isRead: Bool { method == "GET" || method == "HEAD" }
    }

    /// What it is told.
    struct Response: Sendable {
        var status = 200
        var headers: [(name: String, value: String)] = []
        var body: [UInt8] = []
    }

    /// The port the system gave.
    let port: UInt16
    private let listener: Int32
    private let respond: @Sendable (Request) -> Response

    /// Binds to `127.0.0.1`; port 0 lets the system choose.
    init(port wanted: UInt16, respond: @escaping @Sendable (Request) -> Response) throws {
        signal(SIGPIPE, SIG_IGN)
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var one: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = wanted.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                let bound = bind(listener, generic, size)
                return bound == 0 ? getsockname(listener, generic, &size) : bound
            }
        }
        guard status == 0, listen(listener, 64) == 0 else {
            throw SimulatorError(message: "cannot listen on port \(wanted): errno \(errno)")
        }
        port = UInt16(bigEndian: address.sin_port)
        self.listener = listener
        self.respond = respond
    }

    /// Accepts connections for as long as the process lives.
    func run() -> Never {
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { continue }
            var thread = pthread_t()
            let box = Unmanaged.passRetained(Connection(socket: connection, respond: respond))
            pthread_create(
                &thread,
                nil,
                { argument in
                    guard let argument else { return nil }
                    Unmanaged<Connection>.fromOpaque(argument).takeRetainedValue().serve()
                    return nil
                },
                box.toOpaque()
            )
            pthread_detach(thread)
        }
    }
}

/// Why the simulator cannot work.
struct SimulatorError: Error {
    var message: String
}

/// One client's connection.
private final class Connection {
    private let socket: Int32
    private let respond: @Sendable (HTTPServer.Request) -> HTTPServer.Response
    private var buffer: [UInt8] = []
    /// Why the last request is not read to its end; the connection then ends.
    private var refusal: Int?

    /// More than the longest text that any of the services takes, in JSON.
    private static let maximumBodyByteCount = 4 << 20

    init(
        socket: Int32,
        respond: @escaping @Sendable (HTTPServer.Request) -> HTTPServer.Response
    ) {
        self.socket = socket
        self.respond = respond
    }

    deinit {
        close(socket)
    }

    /// Answers requests until the client leaves.
    func serve() {
        while let request = nextRequest() {
            let answer = respond(request)
            guard send(answer, toHead: request.method == "HEAD") else { return }
            if request.headers["connection"]?.lowercased() == "close" { return }
        }
        guard let refusal else { return }
        let end = (name: "Connection", value: "close")
        _ = send(HTTPServer.Response(status: refusal, headers: [end]), toHead: false)
    }

    private func nextRequest() -> HTTPServer.Request? {
        let separator = Array("\r\n\r\n".utf8)
        var headerEnd: Int?
        while headerEnd == nil {
            headerEnd = buffer.firstIndex(of: separator)
            if headerEnd == nil, !fill() { return nil }
            guard buffer.count < 1 << 20 else { return nil }
        }
        guard let headerEnd else { return nil }
        let head = String(decoding: buffer[..<headerEnd], as: UTF8.self)
        buffer.removeFirst(headerEnd + separator.count)
        var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)
        let words = lines.removeFirst().split(separator: " ")
        guard words.count == 3 else { return nil }
        var headers: [String: String] = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            headers[line[..<colon].lowercased()] = String(value)
        }
        guard let length = bodyLength(headers) else { return nil }
        while buffer.count < length {
            guard fill() else { return nil }
        }
        let body = Array(buffer.prefix(length))
        buffer.removeFirst(length)
        let target = words[1].split(separator: "?", maxSplits: 1)
        return HTTPServer.Request(
            method: String(words[0]),
            path: (target.first ?? "").split(separator: "/").map { percentDecoded($0) },
            query: queryItems(target.count > 1 ? target[1] : ""),
            headers: headers,
            body: body
        )
    }

    /// How many bytes follow the head; nil, with a status, when they are not going to be read.
    private func bodyLength(_ headers: [String: String]) -> Int? {
        guard headers["transfer-encoding"] == nil else {
            refusal = 411
            return nil
        }
        guard let text = headers["content-length"] else { return 0 }
        guard let length = Int(text), length >= 0 else {
            refusal = 400
            return nil
        }
        guard length <= Self.maximumBodyByteCount else {
            refusal = 413
            return nil
        }
        return length
    }

    private func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 16384)
        let count = recv(socket, &chunk, chunk.count, 0)
        guard count > 0 else { return false }
        buffer += chunk[..<count]
        return true
    }

    private func send(_ response: HTTPServer.Response, toHead: Bool) -> Bool {
        var text = "HTTP/1.1 \(response.status) \(response.status < 400 ? "OK" : "Error")\r\n"
        for header in response.headers { text += "\(header.name): \(header.value)\r\n" }
        text += "Content-Length: \(response.body.count)\r\n\r\n"
        let bytes = Array(text.utf8) + (toHead ? [] : response.body)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                Glibc.send(
                    socket,
                    raw.baseAddress?.advanced(by: sent),
                    bytes.count - sent,
                    Int32(MSG_NOSIGNAL)
                )
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }
}

private func queryItems(_ text: Substring) -> [String: String] {
    var items: [String: String] = [:]
    for piece in text.split(separator: "&") {
        let parts = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let value = parts.count > 1 ? parts[1].replacing("+", with: " ") : ""
        items[percentDecoded(parts[0])] = percentDecoded(Substring(value))
    }
    return items
}

private func percentDecoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
        let digits = String(decoding: rest.prefix(2), as: UTF8.self)
        if byte == UInt8(ascii: "%"), rest.count >= 2, let value = UInt8(digits, radix: 16) {
            bytes.append(value)
            rest = rest.dropFirst(2)
        } else {
            bytes.append(byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

extension [UInt8] {
    /// Where `pattern` first begins.
    fileprivate func firstIndex(of pattern: [UInt8]) -> Int? {
        guard count >= pattern.count else { return nil }
        return (0...(count - pattern.count)).first {
            self[$0..<$0 + pattern.count].elementsEqual(pattern)
        }
    }
}
