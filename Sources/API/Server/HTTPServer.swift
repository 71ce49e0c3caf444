import HTTPTypes
import HummingbirdCore
package import Logging
import NIOCore
import NIOPosix
import Synchronization

/// The server from its first accepted connection to its last answer.
package struct HTTPServer: Sendable {
    /// Where to listen.
    package struct Address: Sendable, Equatable {
        package var host: String
        /// 0 for any free one.
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    private let address: Address
    private let application: Application
    private let identity: TLSIdentity?
    private let logger: Logger

    /// - Parameters:
    ///   - address: Where to listen.
    ///   - application: What to serve.
    ///   - identity: With one the server speaks TLS alone, and HTTP/2 with who can.
    ///   - logger: Takes what happens.
    package init(
        _ address: Address,
        application: Application,
        identity: TLSIdentity? = nil,
        logger: Logger
    ) {
        self.address = address
        self.application = application
        self.identity = identity
        self.logger = logger
    }

    /// Serves until the task is cancelled, then lets requests under way end.
    ///
    /// - Parameter started: Told the port once connections are accepted.
    /// - Throws: ``ServerError`` when the address cannot be listened on.
    package func run(started: @escaping @Sendable (Int) async -> Void) async throws {
        let responder = application.responder
        let respond: HTTPChannelHandler.Responder = { request, writer, channel in
            try await responder.respond(to: request, writer, channel)
        }
        let table = application.connections
        if let identity {
            try await run(SecureConnection(identity, table: table, respond), started)
        } else {
            try await run(Connection(table: table, responder: respond), started)
        }
    }

    private func run(
        _ connection: some ServerChildChannel,
        _ started: @escaping @Sendable (Int) async -> Void
    ) async throws {
        let connections = application.connections
        var quiet = logger
        // Its own lines are said better by ours.
        quiet.logLevel = max(quiet.logLevel, .warning)
        let server = Server(
            childChannelSetup: connection,
            configuration: ServerConfiguration(
                address: .hostname(address.host, port: address.port),
                // A burst of connections waits here while one is being set up.
                backlog: 1_024
            ),
            onServerRunning: { channel in
                application.readiness.begin()
                await started(channel.localAddress?.port ?? 0)
            },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: quiet
        )
        let (stops, stop) = AsyncStream.makeStream(of: Void.self)
        // Not a child: cancellation must not cut off the requests that are under way.
        let serving = Task { try await server.run() }
        let background = Task { await application.run() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { stop.finish() }
                try await serving.value
            }
            group.addTask { await Self.sweep(connections) }
            group.addTask {
                // Ends with the server, or when this task is cancelled.
                for await _ in stops {}
                await drain(server, serving)
                background.cancel()
                await background.value
            }
            defer { group.cancelAll() }
            // The first to end is the server that could not start, or the one that is told to stop.
            do {
                try await group.next()
            } catch {
                throw failure(error)
            }
            group.cancelAll()
            while let ended = await group.nextResult() {
                if case .failure(let error) = ended, !(error is CancellationError) {
                    throw failure(error)
                }
            }
        }
    }

    /// What ended the server, in our terms where it never began.
    private func failure(_ error: any Error) -> any Error {
        guard !application.readiness.hasBegun, let error = error as? IOError else { return error }
        return ServerError(error, at: address)
    }

    /// Closes slow connections once a second, until it is cancelled.
    private static func sweep(_ connections: ConnectionTable) async {
        while !Task.isCancelled {
            do {
                try await Task.sleep(for: .seconds(1))
            } catch {
                return
            }
            connections.closeOverdue()
        }
    }

    /// Stops accepting, waits for answers under way, and ends what does not end.
    private func drain(
        _ server: Server<some ServerChildChannel>,
        _ serving: Task<Void, any Error>
    ) async {
        application.readiness.beginDraining()
        if application.readiness.hasBegun {
            let count = application.inFlight
            logger.info("stopping", metadata: ["requests": .stringConvertible(count)])
        }
        let connections = application.connections
        let limit = connections.limits.drainTime
        async let streams: Void = application.endStreams(within: limit)
        // The timer is no child either: it has to outlive the cancellation that brought us here.
        let timer = Task {
            try await Task.sleep(for: limit)
            connections.closeAll()
        }
        do {
            try await server.shutdownGracefully()
        } catch {
            logger.warning("stopping failed", metadata: ["reason": .string("\(error)")])
        }
        await streams
        timer.cancel()
        serving.cancel()
    }
}

/// Whether the server takes new work.
final class Readiness: Sendable {
    private let hasBegunFlag = Atomic<Bool>(false)
    private let isDrainingFlag = Atomic<Bool>(false)

    /// Whether it ever listened.
    var hasBegun: Bool { hasBegunFlag.load(ordering: .relaxed) }

    /// From now on it listens.
    func begin() { hasBegunFlag.store(true, ordering: .relaxed) }

    /// Whether it is stopping.
    var isDraining: Bool { isDrainingFlag.load(ordering: .relaxed) }

    /// From now on nothing new is wanted.
    func beginDraining() { isDrainingFlag.store(true, ordering: .relaxed) }
}
