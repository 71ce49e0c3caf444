import Glibc
import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore
import NIOSSL

/// What the server shows of itself by TLS.
package struct TLSIdentity: Sendable {
    let configuration: TLSConfiguration

    /// Reads both files, in the form that certificate authorities give (PEM).
    ///
    /// - Parameters:
    ///   - certificateFile: The certificate, and those between it and the authority's own.
    ///   - keyFile: Its private key, without a password.
    /// - Throws: Which of them cannot be used and why, in words.
    package init(certificateFile: String, keyFile: String) throws {
        try Self.requireReadable(certificateFile)
        try Self.requireReadable(keyFile)
        // What the library throws names neither file.
        guard let chain = try? NIOSSLCertificate.fromPEMFile(certificateFile), !chain.isEmpty else {
            throw Refusal("`\(certificateFile)` holds no certificate")
        }
        guard let key = try? NIOSSLPrivateKey(file: keyFile, format: .pem) else {
            throw Refusal("`\(keyFile)` holds no private key, or one with a password")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        // Older revisions are broken (RFC 8996).
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["h2", "http/1.1"]
        do {
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            let files = "`\(keyFile)` and the certificate in `\(certificateFile)`"
            throw Refusal("the key in \(files) are not of one pair: \(error)")
        }
        self.configuration = configuration
    }

    private static func requireReadable(_ path: String) throws {
        guard unsafe access(path, R_OK) != 0 else { return }
        throw unsafe Refusal("`\(path)` cannot be read: \(String(cString: strerror(errno)))")
    }

    private struct Refusal: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }
}

/// How each connection is set up where the server has a ``TLSIdentity``: HTTP/2 for clients that
/// ask for it during the handshake, else HTTP/1.1.
struct SecureConnection: ServerChildChannel {
    typealias Value = HTTP2UpgradeChannel.Value

    private let http: HTTP2UpgradeChannel
    private let table: ConnectionTable

    init(
        _ identity: TLSIdentity,
        table: ConnectionTable,
        _ responder: @escaping HTTPChannelHandler.Responder
    ) throws {
        http = try HTTP2UpgradeChannel(
            tlsConfiguration: identity.configuration,
            configuration: HTTP2UpgradeChannel.Configuration(
                gracefulCloseTimeout: table.limits.drainTime,
                streamConfiguration: Connection.configuration(table)
            ),
            responder: responder
        )
        self.table = table
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        do {
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
            // In front of everything: a handshake may be slow, too.
            try channel.pipeline.syncOperations.addHandler(AdmissionGuard(table: table))
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        return http.setup(channel: channel, logger: logger)
    }

    func handle(value: Value, logger: Logger) async {
        await http.handle(value: value, logger: logger)
    }
}

/// Takes a connection in before its first byte, and notes whether its client takes what is sent.
private final class AdmissionGuard: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let table: ConnectionTable
    private var id: ConnectionTable.ID?

    init(table: ConnectionTable) {
        self.table = table
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let address = context.remoteAddress?.ipAddress ?? "local"
        id = table.admit(context.channel, address: address)
        if id == nil { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let id { table.remove(id) }
        id = nil
        context.fireChannelInactive()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let id { table.noteStall(id, isStalled: !context.channel.isWritable) }
        context.fireChannelWritabilityChanged()
    }
}

@available(*, unavailable)
extension AdmissionGuard: Sendable {}
