import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Tells the ``ConnectionTable`` what one connection, or one stream of one, does: the first handler
/// behind the decoder.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// What a client still sends is read for so long after the answer that ends a connection:
    /// closing at once would reset it, and the answer be lost.
    private static let lingerTime = TimeAmount.milliseconds(500)

    private let table: ConnectionTable
    private var id: ConnectionTable.ID?
    /// Requests whose answer has not ended.
    private var requestsInProgress = 0
    private var isReadingBody = false
    private var closesAfterResponse = false
    /// Whether this is a stream: those have no `Connection` header, which would break the others.
    private var isStream = false

    init(table: ConnectionTable) {
        self.table = table
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        if table.isConnection(channel) {
            // By TLS: taken in before the handshake.
            id = ObjectIdentifier(channel)
        } else if let parent = channel.parent, table.isConnection(parent) {
            isStream = true
            id = table.admitStream(channel, of: parent)
        } else {
            id = table.admit(channel, address: context.remoteAddress?.ipAddress ?? "local")
        }
        if id == nil { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let id { table.remove(id) }
        id = nil
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        if let id { table.remove(id) }
        id = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let id {
            switch unwrapInboundIn(data) {
            case .head:
                requestsInProgress += 1
                isReadingBody = true
                // One behind another one that is being answered waits for that: its connection
                // makes no room, and is not late with the body, which nobody takes yet.
                if requestsInProgress <= 1 {
                    table.note(id, .reading, for: table.limits.bodyTime)
                }
            case .body(let buffer):
                let seconds = Double(buffer.readableBytes) / Double(table.limits.bodyBytesPerSecond)
                table.extend(id, by: .seconds(seconds))
            case .end:
                isReadingBody = false
                if requestsInProgress > 0 {
                    table.note(id, .serving, for: nil)
                } else if !closesAfterResponse {
                    // The answer did not wait for the body.
                    table.note(id, .waiting, for: table.limits.idleTime)
                }
            }
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            guard head.headerFields[.connection] != nil else {
                context.write(data, promise: promise)
                break
            }
            if head.headerFields[.connection] == "close" { closesAfterResponse = true }
            if isStream { head.headerFields[.connection] = nil }
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body(let buffer):
            write(data, buffer.readableBytes, context, promise)
        case .end:
            context.write(data, promise: promise)
            requestsInProgress -= 1
            responseEnded(context)
        }
    }

    /// Writes a piece of an answer; the table knows of its bytes until the client has taken them.
    private func write(
        _ data: NIOAny,
        _ bytes: Int,
        _ context: ChannelHandlerContext,
        _ promise: EventLoopPromise<Void>?
    ) {
        guard let id else { return context.write(data, promise: promise) }
        let (table, taken) = (table, promise ?? context.eventLoop.makePromise(of: Void.self))
        context.write(data, promise: taken)
        // Behind it: this may close the connection.
        table.noteWriting(id, bytes: bytes)
        taken.futureResult.whenComplete { _ in table.noteWritten(id, bytes: bytes) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let id { table.noteStall(id, isStalled: !context.channel.isWritable) }
        context.fireChannelWritabilityChanged()
    }

    private func responseEnded(_ context: ChannelHandlerContext) {
        guard let id else { return }
        guard requestsInProgress <= 0 else {
            // It is the turn of a request whose body may be still to come.
            if requestsInProgress == 1, isReadingBody {
                table.note(id, .reading, for: table.limits.bodyTime)
            }
            return
        }
        if closesAfterResponse {
            context.flush()
            let channel = context.channel
            table.note(id, .waiting, for: .seconds(1))
            context.eventLoop.scheduleTask(in: Self.lingerTime) { channel.close(promise: nil) }
        } else if !isReadingBody {
            table.note(id, .waiting, for: table.limits.idleTime)
        }
    }
}

@available(*, unavailable)
extension ConnectionGuard: Sendable {}
