package import Domain
package import Store
package import Trackers

/// Works on what deliveries have made necessary: reads the item from its tracker and stores it.
///
/// The tracker's present state is stored, whatever the delivery said. Between the reading and the
/// writing nobody else may have written the item – a scan, another delivery, a tool –, or else it
/// is read again: so the store never goes back.
package struct WebhookProcessor: Sendable {
    /// A scan that a delivery asks for.
    package struct ScanWish: Sendable, Equatable {
        package var tracker: Tracker
        /// The project's path; nil for the whole tracker.
        package var project: String?
        package var isFull: Bool
    }

    private let store: Store
    private let clients: @Sendable (Tracker) async throws -> any TrackerClient
    private let requestScan: @Sendable (ScanWish) async throws -> Void
    private let didWrite: @Sendable () async -> Void

    /// Readings of an item that somebody else keeps writing; then it waits for a while.
    private static let maximumReadings = 5
    /// Pages of a hundred comments; longer discussions are left to scans.
    private static let maximumCommentPages = 10

    /// - Parameters:
    ///   - store: Where items are stored.
    ///   - clients: The client of a tracker; the same one for the same tracker, so that all share
    ///     its rate budget.
    ///   - requestScan: Has a scan done soon.
    ///   - didWrite: Told when something new may have to be indexed.
    package init(
        store: Store,
        clients: @escaping @Sendable (Tracker) async throws -> any TrackerClient,
        requestScan: @escaping @Sendable (ScanWish) async throws -> Void,
        didWrite: @escaping @Sendable () async -> Void = {}
    ) {
        self.store = store
        self.clients = clients
        self.requestScan = requestScan
        self.didWrite = didWrite
    }

    /// The kind of job it does.
    package static var kind: JobKind { WebhookWork.kind }

    /// Does a job.
    ///
    /// Throws what the tracker or the store refuses: the job is tried again.
    package func handle(_ claim: ClaimedJob) async throws -> JobWorker.Outcome {
        guard let work = WebhookWork(claim.job.payload) else {
            return .hopeless("another version of the program wrote it")
        }
        let tracker = try await store.read { connection, account in
            try TrackerTable.list(account: account, on: connection)
                .first { $0.id == work.tracker }
        }
        // It may have been removed meanwhile.
        guard let tracker, tracker.isRemote else { return .done }
        do {
            switch work.task {
            case .scan(let isFull):
                let project = try await project(work.project, of: tracker)
                // What a project's event says of one that is not followed concerns nobody.
                guard work.project == nil || project?.state == .active else { return .done }
                try await requestScan(
                    ScanWish(tracker: tracker, project: project?.path, isFull: isFull)
                )
            case .issue(let issue, let withComments):
                try await refresh(issue, withComments, work, tracker, claim)
            }
            return .done
        } catch TrackerError.rateLimited(let until) {
            let rest = until.milliseconds(since: store.clock.now())
            return .later(
                .milliseconds(max(1_000, rest)),
                reason: "the tracker's rate limit is used up until \(until)"
            )
        }
    }

    // MARK: - Reading

    /// An issue of a followed project.
    private struct Item: Sendable {
        var issue: IssueReference
        var withComments: Bool
        var tracker: Tracker
        var project: StoredProject

        var remote: RemoteProject { RemoteProject(project) }
    }

    /// What the tracker said.
    private struct Reading: Sendable {
        var presence: IssuePresence
        /// All of them; nil when they were not asked for, or are too many.
        var comments: [Comment]?
        var listing: CommentListing
    }

    private func refresh(
        _ issue: IssueReference,
        _ withComments: Bool,
        _ work: WebhookWork,
        _ tracker: Tracker,
        _ claim: ClaimedJob
    ) async throws {
        var project = try await project(work.project, of: tracker)
        if project == nil, work.project == nil {
            project = try await self.project(holding: issue, of: tracker)
        }
        // What is not followed is not read either.
        guard let project, project.state == .active else { return }
        let item = Item(
            issue: issue,
            withComments: withComments,
            tracker: tracker,
            project: project
        )
        let client = try await clients(tracker)
        for _ in 0..<Self.maximumReadings {
            let before = try await store.read { connection, account in
                try Self.version(of: item, account: account, on: connection)
            }
            let reading = try await read(item, storedAs: before, from: client)
            if try await write(reading, of: item, over: before, claim) {
                await didWrite()
                return
            }
        }
        throw SyncError.itemKeepsChanging(key: issue.key)
    }

    private func read(
        _ item: Item,
        storedAs before: IssueVersion?,
        from client: any TrackerClient
    ) async throws -> Reading {
        var reference = item.issue
        if reference.externalID.isEmpty { reference.externalID = before?.externalID ?? "" }
        if reference.number == 0, let before {
            reference.number = before.number
            reference.key = before.key
        }
        let presence = try await client.presence(of: reference, in: item.remote)
        var reading = Reading(presence: presence, listing: client.commentListing)
        guard case .present(let issue, let embedded, _) = presence else { return reading }
        switch embedded {
        case .complete(let comments): reading.comments = comments
        case .notIncluded:
            guard item.withComments else { break }
            reading.comments = try await comments(
                of: IssueReference(issue),
                in: item.remote,
                from: client
            )
        }
        return reading
    }

    /// All comments of an issue; nil when they are too many or not all of them can be understood.
    private func comments(
        of issue: IssueReference,
        in project: RemoteProject,
        from client: any TrackerClient
    ) async throws -> [Comment]? {
        var found: [Comment] = []
        var page: PageToken?
        for _ in 0..<Self.maximumCommentPages {
            let answer = try await client.comments(of: project, walk: .issue(issue), page: page)
            guard answer.malformed.isEmpty else { return nil }
            found += answer.comments.map(\.comment)
            guard let next = answer.next else { return found }
            guard next != page else { return nil }
            page = next
        }
        return nil
    }

    // MARK: - Writing

    /// Stores what was read.
    ///
    /// - Returns: False when somebody else has written the item since `before`.
    private func write(
        _ reading: Reading,
        of item: Item,
        over before: IssueVersion?,
        _ claim: ClaimedJob
    ) async throws -> Bool {
        let now = store.clock.now()
        return try await store.write { connection, account in
            try JobTable.verify(claim, account: account, on: connection)
            let current = try Self.version(of: item, account: account, on: connection)
            guard current == before else { return false }
            var home: StoredProject?
            switch reading.presence {
            case .inaccessible:
                // Nothing may be concluded from that; the next scan finds out.
                return true
            case .gone, .moved: break
            case .present(_, _, let place):
                home = try Self.home(at: place, of: item, account: account, on: connection)
            }
            if case .present(let issue, let embedded, _) = reading.presence, let home {
                let incoming = IncomingIssue(
                    issue,
                    comments: reading.comments.map { .complete($0) }
                        ?? IncomingComments(embedded, listing: reading.listing)
                )
                try Self.store(incoming, of: item, in: home, now, account, connection)
            } else if let before, !before.isDeleted, before.project == item.project.id {
                try IssueTable.delete([before.id], at: now, account: account, on: connection)
            }
            return true
        }
    }

    private static func store(
        _ incoming: IncomingIssue,
        of item: Item,
        in home: StoredProject,
        _ now: Timestamp,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        let batch = IssueBatch(
            project: home.id,
            tracker: item.tracker.id,
            items: [incoming],
            present: now,
            trust: .confirmed
        )
        _ = try IssueTable.upsert(batch, account: account, on: connection)
        try QuarantineTable.remove(
            [incoming.issue.externalID],
            from: home.id,
            account: account,
            on: connection
        )
        if item.withComments,
            incoming.comments == .listedByIssue
                || incoming.comments == .listedByProject
        {
            try IssueTable.markCommentsDue(
                externalID: incoming.issue.externalID,
                in: home.id,
                account: account,
                on: connection
            )
        }
    }

    /// The followed project of the tracker where an issue lives now; nil when it is none.
    private static func home(
        at place: String?,
        of item: Item,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> StoredProject? {
        guard let place, !haveEqualBytes(place, item.project.externalID) else {
            // Its tracker may have been removed meanwhile, and its projects with it.
            return try ProjectTable.find(item.project.id, account: account, on: connection)
        }
        let other = try ProjectTable.find(
            externalID: place,
            tracker: item.tracker.id,
            account: account,
            on: connection
        )
        return other.flatMap { $0.state == .active ? $0 : nil }
    }

    private static func version(
        of item: Item,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> IssueVersion? {
        try IssueTable.version(
            externalID: item.issue.externalID,
            number: item.issue.number,
            kind: item.issue.kind,
            project: item.project.id,
            tracker: item.tracker.id,
            account: account,
            on: connection
        )
    }

    // MARK: - Where

    private func project(
        _ place: WebhookEvent.Place?,
        of tracker: Tracker
    ) async throws -> StoredProject? {
        guard let place else { return nil }
        return try await store.read { connection, account in
            if let id = place.externalID {
                return try ProjectTable.find(
                    externalID: id,
                    tracker: tracker.id,
                    account: account,
                    on: connection
                )
            }
            let path = place.path?.lowercased() ?? ""
            return try ProjectTable.list(tracker: tracker.id, account: account, on: connection)
                .first { $0.path.lowercased() == path }
        }
    }

    /// The project of an issue that a delivery names without one.
    private func project(
        holding issue: IssueReference,
        of tracker: Tracker
    ) async throws -> StoredProject? {
        guard !issue.externalID.isEmpty else { return nil }
        return try await store.read { connection, account in
            let version = try IssueTable.version(
                externalID: issue.externalID,
                number: issue.number,
                kind: issue.kind,
                project: nil,
                tracker: tracker.id,
                account: account,
                on: connection
            )
            return try version.flatMap { version in
                try ProjectTable.find(version.project, account: account, on: connection)
            }
        }
    }
}
