import Domain
import MCP

/// A client's session that has used a session with a server of the older era.
struct Guest: Sendable {
    let session: OpenSession
    let client: UpstreamListener.Client
    /// Tells the client something outside of calls.
    let tell: @Sendable (OpenSession.Notice) async -> Void
    /// Asks the client something outside of calls.
    let ask: OpenSession.Ask
}

/// The clients' sessions that have used a session with a server; a value.
struct GuestList: Sendable {
    /// Of more the one that came first is forgotten.
    static let maximum = 64
    /// Pages that clients were asked to open and that have not served their purpose, likewise.
    static let maximumPages = 64

    private(set) var all: [Guest] = []
    private var pages: [(id: [UInt8], guest: ObjectIdentifier)] = []

    /// Adds one, or takes what it says of itself now.
    ///
    /// - Returns: The one that is forgotten for it.
    mutating func add(_ guest: Guest) -> Guest? {
        if let place = all.firstIndex(where: { $0.session === guest.session }) {
            all[place] = guest
            return nil
        }
        let forgotten = all.count >= Self.maximum ? all[0] : nil
        if let forgotten { remove(forgotten.session) }
        all.append(guest)
        return forgotten
    }

    mutating func remove(_ session: OpenSession) {
        all.removeAll { $0.session === session }
        pages.removeAll { $0.guest == ObjectIdentifier(session) }
    }

    mutating func removeAll() { (all, pages) = ([], []) }

    /// The guest that a session is; nil when it is none.
    func guest(_ session: OpenSession) -> Guest? { all.first { $0.session === session } }

    /// Remembers whose client was asked to open a page.
    mutating func note(page id: String, of guest: Guest) {
        let id = Array(id.utf8)
        guard id.count <= 1_024 else { return }
        pages.removeAll { $0.id == id }
        if pages.count >= Self.maximumPages { pages.removeFirst() }
        pages.append((id, ObjectIdentifier(guest.session)))
    }

    /// Whose client was asked to open a page, which has served its purpose; nil for nobody's.
    mutating func take(page id: String) -> Guest? {
        let id = Array(id.utf8)
        guard let place = pages.firstIndex(where: { $0.id == id }) else { return nil }
        let owner = pages.remove(at: place).guest
        return all.first { ObjectIdentifier($0.session) == owner }
    }
}

/// What passes outside of calls, with servers of the older era: those of the newer one say and ask
/// nothing there.
extension UpstreamConnection {
    /// Lets a client's session hear what the server says outside of calls.
    func admit(_ guest: Guest) {
        guard failure == nil, guest.session.attach(self) else { return }
        guests.add(guest)?.session.detach(self)
    }

    /// Forgets a client's session, which is over.
    func dismiss(_ session: OpenSession) { guests.remove(session) }

    /// Forgets all of them: the session has ended, or is none of the older era.
    func dismissAll() {
        for guest in guests.all { guest.session.detach(self) }
        guests.removeAll()
    }

    /// Takes what a client says of itself in the middle of its session.
    func take(_ announcement: ServerSession.Announcement, of session: OpenSession) async {
        guard failure == nil, let guest = guests.guest(session) else { return }
        switch announcement {
        case .rootsChanged: await tellRootsChanged()
        case .logLevel(let level):
            // A server that refuses goes on as before; the client was answered already.
            try? await setLevel(.from(level), of: guest.client)
        }
    }

    /// Tells the clients what the server says while no call is under way.
    func tell(_ notice: OpenSession.Notice) async {
        for guest in guests.all { await guest.tell(notice) }
    }

    /// Tells the client that was asked to open a page that this has served its purpose.
    func endPage(_ parameters: JSONObject) async {
        guard let id = parameters["elicitationId"]?.string, let guest = guests.take(page: id)
        else { return }
        await guest.tell(.elicitationEnded(parameters))
    }

    /// Remembers the page that a client is asked to open.
    func notePage(_ method: String, _ parameters: JSONObject, of guest: Guest?) {
        guard method == "elicitation/create", let guest,
            let id = parameters["elicitationId"]?.string
        else { return }
        guests.note(page: id, of: guest)
    }

    /// Remembers the pages that a client has to open before it calls again.
    func notePages(_ error: RPCError, of guest: Guest?) {
        guard error.code == RPCError.urlElicitationRequiredCode, let guest else { return }
        for page in error.data?["elicitations"]?.array?.prefix(GuestList.maximumPages) ?? [] {
            if let id = page["elicitationId"]?.string { guests.note(page: id, of: guest) }
        }
    }
}
