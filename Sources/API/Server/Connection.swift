import HummingbirdCore
import Logging
import NIOCore
import NIOHTTPTypes

/// How each connection is set up: HTTP/1.1 behind a ``ConnectionGuard``.
struct Connection: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    private let http: HTTP1Channel

    init(table: ConnectionTable, responder: @escaping HTTPChannelHandler.Responder) {
        http = HTTP1Channel(responder: responder, configuration: Self.configuration(table))
    }

    /// How requests are decoded and guarded; of each stream as of each connection.
    static func configuration(_ table: ConnectionTable) -> HTTP1Channel.Configuration {
        let limits = table.limits
        return HTTP1Channel.Configuration(
            additionalChannelHandlers: [ConnectionGuard(table: table)],
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: limits.headBytes,
                maxHeaderListSize: limits.headBytes,
                // Browsers send a few dozen.
                maxHeaderFieldCount: 128
            )
        )
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        do {
            // A client that closes is gone: that is how it cancels, and it is noticed at once.
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        return http.setup(channel: channel, logger: logger)
    }

    func handle(value: Value, logger: Logger) async {
        await http.handle(value: value, logger: logger)
    }
}
