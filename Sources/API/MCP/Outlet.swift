import HTTPTypes
import HummingbirdCore
import MCP
import NIOCore

/// Where the answer to one request of the MCP endpoint goes: what sessions say is put in, what
/// serves the connection takes it out.
struct Outlet: Sendable {
    /// What is to be sent, in order.
    enum Event: Sendable {
        /// The whole answer.
        case reply(HTTPReply)
        /// The head of a stream.
        case open(HTTPReply)
        /// A piece of it.
        case write([UInt8])
    }

    private let stream: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation

    /// Holds what one request's own calls say: answers are bounded, and progress by their work.
    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    /// Puts something in; ignored when the answer is over.
    func send(_ event: Event) {
        continuation.yield(event)
        if case .reply = event { continuation.finish() }
    }

    /// Ends the answer, or notices that nobody reads it.
    func close() { continuation.finish() }

    /// Sends what comes out until it ends.
    ///
    /// - Parameters:
    ///   - writer: The connection's.
    ///   - decorate: Adds what every answer of the server has.
    /// - Returns: The status that was sent; 499 when the client had gone before.
    /// - Throws: What the connection throws when it is gone in the middle.
    @concurrent func drain(
        to writer: consuming ResponseWriter,
        decorate: (inout HTTPResponse) -> Void
    ) async throws -> HTTPResponse.Status {
        var iterator = stream.makeAsyncIterator()
        switch await iterator.next() {
        case .reply(let reply):
            var head = Self.head(reply)
            decorate(&head)
            if reply.status != 204 {
                head.headerFields[.contentLength] = String(reply.body.count)
            }
            let body = ResponseBody(byteBuffer: ByteBuffer(bytes: reply.body))
            try await writer.write(response: head, body: body)
            return head.status
        case .open(let reply):
            var head = Self.head(reply)
            decorate(&head)
            var body = try await writer.writeHead(head)
            while let event = await iterator.next() {
                guard case .write(let bytes) = event else { break }
                try await body.write(ByteBuffer(bytes: bytes))
            }
            try await body.finish(nil)
            return head.status
        case .write, nil:
            // The client closed before there was anything to say: that is how it cancels.
            return HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request")
        }
    }

    private static func head(_ reply: HTTPReply) -> HTTPResponse {
        var head = HTTPResponse(status: HTTPResponse.Status(code: reply.status))
        for field in reply.headers.fields {
            if let name = HTTPField.Name(field.name) { head.headerFields[name] = field.value }
        }
        return head
    }
}
