import Dispatch
import Synchronization

/// Hears of commits: one connection that does nothing but LISTEN, on a thread of its own.
///
/// It starts with the first wait. Whatever goes wrong with it is repaired by connecting again, and
/// counts as a notification, for one may have been missed meanwhile. Behind a pooler that gives
/// the session away LISTEN succeeds and nothing is heard: until a notification has come, our own
/// by another connection or any other, it does not count as listening, and whoever waits looks
/// again by itself when its time is up.
final class PostgresListener: Sendable {
    /// What transactions that drew a revision notify.
    static let channel: StaticString = "preloop_feed"
    /// How long the thread waits before it looks whether the connection still answers.
    private static let watchInterval = Duration.seconds(60)
    private static let shortestPause = Duration.milliseconds(50)
    private static let longestPause = Duration.seconds(5)

    private struct State {
        var heard: Int64 = 0
        var isStarted = false
        var isListening = false
        var isClosed = false
        var waiting: [(number: Int64, continuation: CheckedContinuation<Void, Never>)] = []
        var nextNumber: Int64 = 0
    }

    private let configuration: PostgresConfiguration
    private let interrupt = PostgresInterrupt()
    private let state = Mutex(State())

    init(_ configuration: PostgresConfiguration) {
        self.configuration = configuration
    }

    /// How often something was heard; starts to listen with the first call.
    func token() async -> Int64 {
        start()
        return state.withLock(\.heard)
    }

    /// Whether notifications have come, on a connection that is not known to be lost.
    var isListening: Bool { state.withLock(\.isListening) }

    /// Waits until more has been heard than `token` says, or the time is up.
    ///
    /// - Throws: `CancellationError`.
    func wait(after token: Int64, atMost duration: Duration) async throws {
        start()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait(after: token) }
            group.addTask { try await Task.sleep(for: duration) }
            defer { group.cancelAll() }
            try await group.next()
        }
        try Task.checkCancellation()
    }

    private func wait(after token: Int64) async {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    guard state.heard <= token, !state.isClosed, !Task.isCancelled
                    else { return true }
                    state.waiting.append((number, continuation))
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiting.firstIndex { $0.number == number }
                    .map { state.waiting.remove(at: $0).continuation }
            }
            waiter?.resume()
        }
    }

    /// Ends the connection and every wait.
    func close() {
        state.withLock { $0.isClosed = true }
        interrupt.request()
        hear(isListening: false)
    }

    private func hear(isListening: Bool) {
        let waiting = state.withLock { state in
            state.heard += 1
            state.isListening = isListening
            defer { state.waiting = [] }
            return state.waiting.map(\.continuation)
        }
        for continuation in waiting { continuation.resume() }
    }

    private func start() {
        let isFirst = state.withLock { state in
            defer { state.isStarted = true }
            return !state.isStarted && !state.isClosed
        }
        guard isFirst else { return }
        let (configuration, interrupt) = (configuration, interrupt)
        // The thread holds the listener only while it tells it something, so that one nobody
        // holds any more ends.
        let heard: @Sendable (Bool) -> Void = { [weak self] in self?.hear(isListening: $0) }
        DispatchQueue(label: "store.postgres.listener").async {
            Self.listen(configuration, interrupt, heard)
        }
    }

    deinit {
        interrupt.request()
    }

    private static func listen(
        _ configuration: PostgresConfiguration,
        _ interrupt: PostgresInterrupt,
        _ heard: (Bool) -> Void
    ) {
        var pause = shortestPause
        while !interrupt.isRequested {
            do throws(PostgresFailure) {
                let connection = try PostgresConnection(
                    configuration,
                    usesNames: false,
                    interrupt: interrupt
                )
                try connection.command("LISTEN \(raw: channel)")
                pause = shortestPause
                // What was committed before the server listened for us has told nobody.
                heard(false)
                try follow(connection, configuration, interrupt, heard)
            } catch {
                heard(false)
                interrupt.wait(atMost: pause)
                pause = min(pause * 2, longestPause)
            }
        }
    }

    private static func follow(
        _ connection: PostgresConnection,
        _ configuration: PostgresConfiguration,
        _ interrupt: PostgresInterrupt,
        _ heard: (Bool) -> Void
    ) throws(PostgresFailure) {
        var isListening = false
        while !interrupt.isRequested {
            if !isListening { call(configuration, interrupt) }
            let count = try connection.waitForNotifications(
                atMost: watchInterval,
                interrupt: interrupt
            )
            if count > 0 {
                isListening = true
                heard(true)
            } else if !interrupt.isRequested {
                try connection.command("SELECT 1 AS alive")
                // A pooler may have lent us, for this statement, a session that listens: what comes
                // with an answer proves nothing.
                if connection.takeNotified() > 0 { heard(isListening) }
            }
        }
    }

    /// Notifies on a connection of its own: what a session notifies itself of would be heard
    /// through any pooler.
    ///
    /// Followers who hear it look once in vain.
    private static func call(
        _ configuration: PostgresConfiguration,
        _ interrupt: PostgresInterrupt
    ) {
        // Failing costs no more than that looking goes on at the pace of whoever waits.
        do throws(PostgresFailure) {
            let connection = try PostgresConnection(
                configuration,
                usesNames: false,
                interrupt: interrupt
            )
            let name = channel.description
            try connection.command("SELECT pg_notify(\(name), '') AS notified")
        } catch {
            return
        }
    }
}
