package import Domain
import Firewall
package import MCP
import Synchronization

/// A client's session of an older revision, for the servers that its calls reach.
///
/// What they say outside of calls goes to it, and what its client tells the other side of a session
/// goes to them. Made by a transport and ended with the session (``GuardedCall/end(_:)``).
package final class OpenSession: Sendable {
    /// What a server says outside of calls: the parameters of its own notification.
    package enum Notice: Sendable, Equatable {
        case message(LogLevel, JSONObject)
        /// A page that it had opened has served its purpose.
        case elicitationEnded(JSONObject)
    }

    /// Asks the client, and gives what it answers.
    package typealias Ask = @Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>

    /// What waits for a client that does not read; of more the oldest is dropped.
    private static let maximumWaiting = 256
    /// What waits for servers: each says again what the one before it said.
    private static let maximumAnnouncements = 16

    /// What is to be told to the client; over when the session is.
    package let notices: AsyncStream<Notice>
    private let notice: AsyncStream<Notice>.Continuation
    private let announcements: AsyncStream<ServerSession.Announcement>
    private let announcement: AsyncStream<ServerSession.Announcement>.Continuation
    private let state = Mutex(State())

    private struct State {
        /// What each server may say and ask at the moment, by the bytes of its name.
        var budgets: [[UInt8]: (messages: OutsideBudget, questions: OutsideBudget)] = [:]
        /// The sessions with servers that its calls have used, as long as they are open.
        var connections: [ObjectIdentifier: UpstreamConnection] = [:]
        /// The tools and requests that its calls have used, by the bytes of their names.
        var used: [[UInt8]: ToolIdentity] = [:]
        var ask: Ask?
        var isOver = false
    }

    package init() {
        (notices, notice) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(Self.maximumWaiting)
        )
        (announcements, announcement) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(Self.maximumAnnouncements)
        )
    }

    // MARK: - The client's side

    /// Says how the client is asked outside of calls; it is asked nothing before.
    package func answers(by ask: @escaping Ask) {
        state.withLock { state in
            if !state.isOver { state.ask = ask }
        }
    }

    /// Takes what the client says of itself, for ``carry()``.
    package func announce(_ announcement: ServerSession.Announcement) {
        self.announcement.yield(announcement)
    }

    /// Tells servers what the client says of itself, until the session is over.
    package func carry() async {
        for await announcement in announcements {
            let connections = state.withLock { Array($0.connections.values) }
            await withDiscardingTaskGroup { group in
                for connection in connections {
                    group.addTask { await connection.take(announcement, of: self) }
                }
            }
        }
    }

    /// Tells that the session is over: nobody says or asks anything more.
    func finish() async {
        let connections = state.withLock { state in
            let connections = Array(state.connections.values)
            state.isOver = true
            (state.connections, state.ask) = ([:], nil)
            return connections
        }
        notice.finish()
        announcement.finish()
        for connection in connections { await connection.dismiss(self) }
    }

    // MARK: - The servers' side

    /// Remembers a session with a server that a call of this one uses; false when it is over.
    func attach(_ connection: UpstreamConnection) -> Bool {
        state.withLock { state in
            if !state.isOver { state.connections[ObjectIdentifier(connection)] = connection }
            return !state.isOver
        }
    }

    /// Forgets a session with a server, which has ended.
    func detach(_ connection: UpstreamConnection) {
        state.withLock { $0.connections[ObjectIdentifier(connection)] = nil }
    }

    /// Remembers what a call uses.
    func use(_ tool: ToolIdentity) {
        state.withLock { $0.used[Array("\(tool.server ?? "")/\(tool.name)".utf8)] = tool }
    }

    /// What calls have used of a server.
    func used(of server: String) -> [ToolIdentity] {
        state.withLock { state in
            state.used.values.filter { haveEqualBytes($0.server ?? "", server) }
        }
    }

    /// Whether a server may say so much more at the moment.
    func hasRoom(for byteCount: Int, of server: String) -> Bool {
        state.withLock { state in
            state.budgets[Array(server.utf8), default: Self.budgets].messages
                .take(byteCount, at: .now)
        }
    }

    /// Whether a server may ask once more at the moment.
    func mayBeAsked(by server: String) -> Bool {
        state.withLock { state in
            state.budgets[Array(server.utf8), default: Self.budgets].questions.take(1, at: .now)
        }
    }

    private static let budgets = (
        messages: OutsideBudget.messages, questions: OutsideBudget.questions
    )

    /// Tells the client something.
    func tell(_ notice: Notice) { self.notice.yield(notice) }

    /// Asks the client something; fails where it cannot be asked.
    func ask(_ method: String, _ parameters: JSONObject) async -> Result<JSONObject, RPCError> {
        guard let ask = state.withLock({ $0.ask }) else {
            return .failure(.methodNotFound(method))
        }
        return await ask(method, parameters)
    }
}

/// How much one server may say to, or ask of, one session outside of calls; a value.
///
/// A call bounds what is said during it by its own time; nothing does outside of calls. A client
/// may read slowly, and each question is put on record.
struct OutsideBudget: Sendable {
    /// In bytes: at once more than a day of a server that logs with sense.
    static let messages = OutsideBudget(capacity: 1 << 20, perSecond: 65_536)
    /// Servers ask when a session begins, and once for each change that they are told of.
    static let questions = OutsideBudget(capacity: 8, perSecond: 0.2)

    /// What there is at once.
    let capacity: Int
    /// What is added in a second.
    let perSecond: Double
    private var room: Double
    private var lastLook: ContinuousClock.Instant?

    private init(capacity: Int, perSecond: Double) {
        self.capacity = capacity
        self.perSecond = perSecond
        room = Double(capacity)
    }

    /// Takes some of it; false where there is not so much, and nothing is taken.
    mutating func take(_ amount: Int, at now: ContinuousClock.Instant) -> Bool {
        if let lastLook {
            let passed = lastLook.duration(to: now) / .seconds(1)
            room = min(room + passed * perSecond, Double(capacity))
        }
        lastLook = now
        guard Double(amount) <= room else { return false }
        room -= Double(amount)
        return true
    }
}
