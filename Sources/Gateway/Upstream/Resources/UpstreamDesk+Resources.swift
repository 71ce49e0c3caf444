import Domain
import MCP
import Store

/// Subscriptions to resources of the servers: one with each server, whoever wants to hear.
extension UpstreamDesk {
    /// Resources of one session, or stream: more than a client shows at a time.
    static let maximumResources = 256
    /// Resources of one server that all sessions want together.
    static let maximumWatched = 4_096
    /// A server that fails is asked again after a second, then after up to a minute.
    private static let longestPause: Duration = .seconds(60)
    /// How long whoever asks what is offered waits for servers that have not said.
    private static let patience: Duration = .seconds(3)
    /// When a server that did not answer is asked again what it offers.
    private static let offerTime: Duration = .seconds(60)

    /// What keeps the subscriptions with a server.
    struct Watcher {
        var number: Int
        var task: Task<Void, Never>
        /// Says that something else is wanted, or that the session is over.
        var wake: AsyncStream<Void>.Continuation
        /// How often the server failed in a row.
        var failures = 0
    }

    /// What a server has said of itself that matters to clients before they ask for anything.
    struct Offer {
        /// Whether it lets clients subscribe.
        var isMade: Bool
        /// What it can do besides, as ``ForeignCapabilities/of(_:)`` gives it.
        var declared = JSONObject()
        /// Until when that counts; nil until its configuration changes.
        var end: ContinuousClock.Instant?
    }

    // MARK: - Subscribing

    /// Has somebody hear of a resource.
    ///
    /// - Throws: Why the server does not tell of it.
    func subscribe(
        _ subscriber: ResourceSubscriber,
        to uri: String,
        of server: UpstreamServerID
    ) async throws {
        var watch = watches[server] ?? ResourceWatch()
        if !watch.has(subscriber, uri) {
            let held = watches.values.reduce(0) { $0 + $1.count(of: subscriber) }
            guard held < Self.maximumResources else {
                throw UpstreamError.refused(
                    .invalidRequest("a session has at most \(Self.maximumResources) subscriptions")
                )
            }
            guard watch.count < Self.maximumWatched else {
                throw UpstreamError.refused(
                    .invalidRequest("\(watch.count) resources of the server are watched already")
                )
            }
        }
        let outcomes = watch.add(subscriber, to: uri)
        watches[server] = watch
        guard let outcomes else { return }
        keepWatching(server)
        for await outcome in outcomes { return try outcome.get() }
        // Cancelled, or ended meanwhile.
        watches[server]?.remove(subscriber, from: uri)
        watchers[server]?.wake.yield()
        throw CancellationError()
    }

    /// Has somebody hear of a resource no more; of none at all for nil, which ends the subscriber.
    func unsubscribe(_ subscriber: ResourceSubscriber, from uri: String?) async {
        for server in watches.keys {
            watches[server]?.remove(subscriber, from: uri)
            watchers[server]?.wake.yield()
        }
        if uri == nil { subscriber.finish() }
    }

    /// Tells those who want to hear of it that a resource of a server has changed.
    func tell(of uri: String, from server: UpstreamServerID) {
        for subscriber in watches[server]?.subscribers(of: uri) ?? [] { subscriber.tell(uri) }
    }

    /// Ends the subscriptions with a server that was removed, or with all.
    func endWatching(_ server: UpstreamServerID) {
        watchers.removeValue(forKey: server)?.task.cancel()
        watches[server]?.end(.sessionEnded)
        watches[server] = nil
    }

    // MARK: - Keeping

    private func keepWatching(_ server: UpstreamServerID) {
        guard watchers[server] == nil else {
            watchers[server]?.wake.yield()
            return
        }
        lastWatcher += 1
        let number = lastWatcher
        let (signal, wake) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        // Not a child: it lasts as long as anybody wants to hear of anything.
        let task = Task { await self.watch(server, number, signal) }
        watchers[server] = Watcher(number: number, task: task, wake: wake)
    }

    /// Keeps what is wanted of a server subscribed to, in one session after the other.
    private func watch(
        _ server: UpstreamServerID,
        _ number: Int,
        _ signal: AsyncStream<Void>
    ) async {
        while watchers[server]?.number == number, watches[server]?.isEmpty == false {
            do {
                let pool = try await pool(of: server)
                try await pool.perform(
                    for: "",
                    capabilities: JSONObject(),
                    isRepeatable: true
                ) { connection in
                    try await self.follow(server, number, signal, on: connection)
                }
            } catch {
                guard watchers[server]?.number == number else { return }
                let known = error as? UpstreamError ?? .unreachable(reason: "\(error)")
                watches[server]?.suspend(known)
                let failures = watchers[server]?.failures ?? 0
                watchers[server]?.failures = failures + 1
                let pause = min(.seconds(1 << min(failures, 6)), Self.longestPause)
                await wait(for: signal, atMost: pause, of: server)
            }
        }
        guard watchers[server]?.number == number else { return }
        // Nothing was waited for since the last look: nobody has come meanwhile.
        watchers[server] = nil
        watches[server] = nil
    }

    private func wait(
        for signal: AsyncStream<Void>,
        atMost pause: Duration?,
        of server: UpstreamServerID
    ) async {
        guard let wake = watchers[server]?.wake else { return }
        let alarm = pause.map { Self.alarm(after: $0, wake) }
        defer { alarm?.cancel() }
        for await _ in signal { return }
    }

    private static func alarm(
        after pause: Duration,
        _ wake: AsyncStream<Void>.Continuation
    ) -> Task<Void, Never> {
        let alarm = Task {
            // Cancelled when something happened before.
            guard (try? await Task.sleep(for: pause)) != nil else { return }
            wake.yield()
        }
        return alarm
    }

    /// Follows what is wanted of a server in one of its sessions; returns when that is nothing.
    private func follow(
        _ server: UpstreamServerID,
        _ number: Int,
        _ signal: AsyncStream<Void>,
        on connection: UpstreamConnection
    ) async throws {
        guard let wake = watchers[server]?.wake, let profile = await connection.profile else {
            throw CancellationError()
        }
        guard profile.offers("subscribe", of: "resources") else {
            throw UpstreamError.refused(.methodNotFound("resources/subscribe"))
        }
        await connection.watch { wake.yield() }
        // Nothing that was told of in another session is told of in this one.
        watches[server]?.suspend(nil)
        var told = Told()
        do {
            while watchers[server]?.number == number, watches[server]?.isEmpty == false {
                if let failure = await connection.failure { throw failure }
                let wanted = watches[server]?.uris ?? [:]
                if profile.version.era == .legacy {
                    try await ask(for: wanted, of: server, on: connection, &told)
                } else {
                    try await listen(to: wanted, of: server, on: connection, wake, &told)
                }
                watchers[server]?.failures = 0
                guard watches[server]?.uris.keys == wanted.keys else { continue }
                await wait(for: signal, atMost: nil, of: server)
                try Task.checkCancellation()
            }
        } catch {
            told.stream?.cancel()
            await connection.endWatch()
            throw error
        }
        told.stream?.cancel()
        // What was wanted by nobody any more when this ended.
        if profile.version.era == .legacy {
            try? await ask(for: [:], of: server, on: connection, &told)
        }
        await connection.endWatch()
    }

    /// What one session tells of.
    private struct Told {
        var uris: [[UInt8]: String] = [:]
        /// Of the newer era: what tells.
        var stream: ResourceStream?
    }

    /// Of the older era: each resource is asked for.
    private func ask(
        for wanted: [[UInt8]: String],
        of server: UpstreamServerID,
        on connection: UpstreamConnection,
        _ told: inout Told
    ) async throws {
        for (key, uri) in told.uris where wanted[key] == nil {
            told.uris[key] = nil
            do {
                try await connection.ask("resources/unsubscribe", about: uri)
            } catch UpstreamError.refused {
                // It does not know it any more, which comes to the same.
            }
        }
        for (key, uri) in wanted {
            do {
                if told.uris[key] == nil {
                    try await connection.ask("resources/subscribe", about: uri)
                    told.uris[key] = uri
                }
                watches[server]?.settle(key, .success(()))
            } catch UpstreamError.refused(let error) {
                watches[server]?.settle(key, .failure(.refused(error)))
            }
        }
    }

    /// Of the newer era: one stream tells of all of them, another one when they are others.
    private func listen(
        to wanted: [[UInt8]: String],
        of server: UpstreamServerID,
        on connection: UpstreamConnection,
        _ wake: AsyncStream<Void>.Continuation,
        _ told: inout Told
    ) async throws {
        if told.stream?.isOver == true {
            throw UpstreamError.lost(reason: "it has ended its notifications of changes")
        }
        if wanted.keys != told.uris.keys {
            let stream = try await connection.stream(of: Array(wanted.values)) { wake.yield() }
            // The one before goes on until this one tells: nothing is missed between the two.
            told.stream?.cancel()
            told.stream = stream
            let accepted = Set(stream.accepted.map { Array($0.utf8) })
            told.uris = wanted.filter { accepted.contains($0.key) }
        }
        for (key, uri) in wanted {
            let refusal = UpstreamError.refused(
                .invalidParameters("the server does not tell of changes of `\(uri)`")
            )
            let isTold = told.uris[key] != nil
            watches[server]?.settle(key, isTold ? .success(()) : .failure(refusal))
        }
    }

    // MARK: - Offering

    /// Whether any server lets clients subscribe to its resources.
    func offersSubscriptions() async -> Bool {
        await offering().contains { offers[$0.id]?.isMade == true }
    }

    /// What servers can do of which Preloop knows nothing, by their names; those that can do
    /// nothing of the kind are left out.
    func foreignCapabilities() async -> [(name: String, declared: JSONObject)] {
        await offering().compactMap { server in
            guard let declared = offers[server.id]?.declared, !declared.members.isEmpty else {
                return nil
            }
            return (server.name, declared)
        }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    /// The servers, when it is known what they offer.
    ///
    /// A server is asked once, and waited for once. One that does not answer soon counts as one
    /// that offers nothing, and is asked again later, beside those who ask here.
    private func offering() async -> [UpstreamServer] {
        let servers = (try? await catalogue())?.servers.filter { $0.status != .new } ?? []
        let now = ContinuousClock.now
        for server in servers {
            if let end = offers[server.id]?.end, end < now { _ = question(to: server.id) }
        }
        let unknown = servers.map(\.id).filter { offers[$0] == nil }
        let questions = unknown.map { question(to: $0) }
        guard !questions.isEmpty else { return servers }
        let (ends, over) = AsyncStream.makeStream(of: Void.self)
        let all = Task {
            for question in questions { await question.value }
            over.yield()
        }
        let timer = Task {
            // Ends early when all have answered; then nobody listens any more.
            try? await Task.sleep(for: Self.patience)
            over.yield()
        }
        defer {
            all.cancel()
            timer.cancel()
        }
        for await _ in ends { break }
        let end = ContinuousClock.now + Self.offerTime
        for server in unknown where offers[server] == nil {
            offers[server] = Offer(isMade: false, end: end)
        }
        return servers
    }

    private func question(to server: UpstreamServerID) -> Task<Void, Never> {
        if let question = questions[server] { return question }
        // Not a child of whoever asks first: the others wait for the same.
        let question = Task {
            // One that fails offers nothing at the moment.
            let found = try? await self.pool(of: server).perform(
                for: "",
                capabilities: JSONObject(),
                isRepeatable: true
            ) { connection in await connection.profile }
            self.note(found ?? nil, from: server)
        }
        questions[server] = question
        return question
    }

    private func note(_ found: ServerProfile?, from server: UpstreamServerID) {
        questions[server] = nil
        guard let found else {
            offers[server] = Offer(isMade: false, end: ContinuousClock.now + Self.offerTime)
            return
        }
        offers[server] = Offer(
            isMade: found.offers("subscribe", of: "resources"),
            declared: ForeignCapabilities.of(found.capabilities)
        )
    }
}
