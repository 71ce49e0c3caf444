import Domain
import Store
import Trackers

/// Censuses: the tracker's list is compared with the store, and what it does not hold is asked for
/// one by one before anything is removed.
extension ProjectScanner {
    /// What became of the sightings of a page.
    enum SightingOutcome {
        case resolved
        /// So many are unknown that reading everything is cheaper.
        case tooMany
        case failed(TrackerError)
    }

    func beginCensus(_ cursor: ProjectCursor, _ course: inout Course) async throws {
        let id = project.id
        let expected = try await writer.write { connection, account in
            try IssueTable.clearCensus(of: id, account: account, on: connection)
            try ProjectTable.setCursor(cursor.jsonValue, of: id, account: account, on: connection)
            return try IssueTable.censusCounts(of: id, account: account, on: connection).missing
        }
        course.stored = cursor
        // The tracker's list is about as long as the store's.
        course.estimate.begin(expecting: expected > 0 ? expected : nil)
    }

    /// Reads the issues of which the page only shows that they exist, and which the store does not
    /// hold or holds in another version; they are stored with the page.
    func resolveSightings(
        _ page: IssuePage,
        _ course: inout Course
    ) async throws -> SightingOutcome {
        let seen = page.items.compactMap { item -> Sighting? in
            guard case .sighting(let sighting) = item else { return nil }
            return Sighting(sighting)
        }
        guard !seen.isEmpty else { return .resolved }
        let id = project.id
        let unknown = try await writer.store.read { connection, account in
            try IssueTable.unknown(among: seen, in: id, account: account, on: connection)
        }
        guard unknown.count <= configuration.maximumSightings else { return .tooMany }
        let references = unknown.map { sighting in
            IssueReference(externalID: sighting.externalID, kind: sighting.kind, number: 0, key: "")
        }
        for answer in await presences(of: references, &course) {
            switch answer {
            case .success(.present(let issue, let comments, let place)) where isHere(place):
                course.confirmed.append(
                    IncomingIssue(
                        issue,
                        comments: IncomingComments(comments, listing: writer.listing)
                    )
                )
            case .success: break
            case .failure(.notFound): break
            case .failure(let error): return .failed(error)
            }
        }
        return .resolved
    }

    /// Reads again, one by one, what the list showed in an older version than the store holds: a
    /// list may lag, but a time that went back may also be the truth.
    func confirmStale(_ issues: [Issue], _ course: inout Course) async throws -> TrackerError? {
        let references = issues.map { issue in
            IssueReference(
                externalID: issue.externalID,
                kind: issue.kind,
                number: issue.number,
                key: issue.key
            )
        }
        var confirmed: [IncomingIssue] = []
        for answer in await presences(of: references, &course) {
            switch answer {
            case .success(.present(let issue, let comments, let place)) where isHere(place):
                confirmed.append(
                    IncomingIssue(
                        issue,
                        comments: IncomingComments(comments, listing: writer.listing)
                    )
                )
            case .success: break
            case .failure(.notFound): break
            case .failure(let error): return error
            }
        }
        guard !confirmed.isEmpty else { return nil }
        count(try await writer.writeConfirmed(confirmed), &course)
        return nil
    }

    func presences(
        of references: [IssueReference],
        _ course: inout Course
    ) async -> [Result<IssuePresence, TrackerError>] {
        course.report.counts.calls += references.count
        return await mapConcurrently(references, limit: configuration.issueConcurrency) { issue in
            do throws(TrackerError) {
                return .success(try await client.presence(of: issue, in: remote))
            } catch {
                return .failure(error)
            }
        }
    }

    private func isHere(_ place: String?) -> Bool {
        place.map { haveEqualBytes($0, remote.externalID) } ?? true
    }
}

// MARK: What is missing

extension ProjectScanner {
    /// Asks for each issue that the list did not hold, then removes those confirmed as gone.
    func settleCensus(_ course: inout Course) async throws -> ProjectScan.Action {
        course.phase = .census
        let before = try await censusCounts()
        if before.missing > 0 {
            // An anonymous or withdrawn token sees an empty list where the service answers 200.
            if let error = await proveAccess(&course) { return course.scan.didFail(error) }
            var tally = CensusTally()
            if let stop = try await confirmMissing(&tally, &course) { return stop }
            let counts = try await censusCounts()
            if let refusal = tally.refusal(counts, configuration: configuration) {
                course.censusRefusal = refusal
                try await clearMarks()
                return course.scan.didEndCensus(isComplete: false)
            }
            if counts.gone > 0 {
                if let error = await proveAccess(&course) { return course.scan.didFail(error) }
                try await removeGone(&course)
            }
        }
        try await clearMarks()
        return course.scan.didEndCensus(isComplete: true)
    }

    private func clearMarks() async throws {
        let id = project.id
        try await writer.write { connection, account in
            try IssueTable.clearCensus(of: id, account: account, on: connection)
        }
    }

    private func censusCounts() async throws -> CensusCounts {
        let id = project.id
        return try await writer.store.read { connection, account in
            try IssueTable.censusCounts(of: id, account: account, on: connection)
        }
    }

    /// The token is known to the service and the project answers it.
    private func proveAccess(_ course: inout Course) async -> TrackerError? {
        course.report.counts.calls += 2
        do throws(TrackerError) {
            _ = try await client.verify()
            _ = try await client.issues(of: remote, walk: .newest, page: nil, validator: nil)
            return nil
        } catch {
            return error
        }
    }

    private func confirmMissing(
        _ tally: inout CensusTally,
        _ course: inout Course
    ) async throws -> ProjectScan.Action? {
        var last: IssueID?
        let id = project.id
        let limit = configuration.maximumSightings
        while true {
            let after = last
            let missing = try await writer.store.read { connection, account in
                try IssueTable.unmarked(
                    in: id,
                    after: after,
                    limit: limit,
                    account: account,
                    on: connection
                )
            }
            guard let newest = missing.last else { return nil }
            last = newest.id
            let answers = await presences(of: missing.map(IssueReference.init), &course)
            for (issue, answer) in zip(missing, answers) {
                switch answer {
                case .success(.inaccessible):
                    return course.scan.didFail(
                        .notFound(detail: "the project does not answer any more")
                    )
                case .success(let presence):
                    try await store(presence, of: issue, &course)
                case .failure(let error) where error.endsCensus:
                    return course.scan.didFail(error)
                case .failure(let error):
                    tally.add(error)
                }
            }
            if Task.isCancelled { return course.scan.didFail(.cancelled) }
        }
    }

    /// Stores what became of one issue that the list did not hold.
    private func store(
        _ presence: IssuePresence,
        of issue: DueIssue,
        _ course: inout Course
    ) async throws {
        switch presence {
        case .present(let present, let comments, let place):
            try await storePresent(
                IncomingIssue(
                    present,
                    comments: IncomingComments(comments, listing: writer.listing)
                ),
                of: issue,
                place: place,
                &course
            )
        case .gone, .moved:
            let id = project.id
            try await writer.write { connection, account in
                try IssueTable.markGone(issue, in: id, account: account, on: connection)
            }
        case .inaccessible:
            break
        }
    }

    /// An issue that lives: here after all, or in another project we read, or somewhere we do not.
    private func storePresent(
        _ incoming: IncomingIssue,
        of issue: DueIssue,
        place: String?,
        _ course: inout Course
    ) async throws {
        let (id, tracker) = (project.id, tracker.id)
        let present = writer.store.clock.now()
        let isHere = isHere(place)
        let result = try await writer.write { connection, account -> IssueBatchResult? in
            var home: ProjectID? = isHere ? id : nil
            if let place, !isHere {
                let other = try ProjectTable.find(
                    externalID: place,
                    tracker: tracker,
                    account: account,
                    on: connection
                )
                if let other, other.state == .active { home = other.id }
            }
            guard let home else {
                try IssueTable.markGone(issue, in: id, account: account, on: connection)
                return nil
            }
            if isHere {
                try IssueTable.markSeen(
                    [Sighting(kind: issue.kind, externalID: issue.externalID)],
                    in: id,
                    account: account,
                    on: connection
                )
            }
            return try IssueTable.upsert(
                IssueBatch(
                    project: home,
                    tracker: tracker,
                    items: [incoming],
                    present: present,
                    trust: .confirmed
                ),
                account: account,
                on: connection
            )
        }
        if let result { count(result, &course) }
    }

    private func removeGone(_ course: inout Course) async throws {
        let (id, limit) = (project.id, configuration.removalBatchCount)
        let now = writer.store.clock.now()
        while true {
            let count = try await writer.write { connection, account in
                try IssueTable.removeGone(
                    in: id,
                    at: now,
                    limit: limit,
                    account: account,
                    on: connection
                )
            }
            course.report.counts.issuesDeleted += count
            guard count == limit else { return }
        }
    }
}

/// Decides whether a census may be believed.
struct CensusTally: Sendable, Equatable {
    /// Missing issues of which the tracker did not say what became.
    private(set) var unconfirmedCount = 0
    private(set) var firstReason: String?

    mutating func add(_ error: TrackerError) {
        unconfirmedCount += 1
        firstReason = firstReason ?? error.description
    }

    /// Why nothing is removed; nil when the census may be believed.
    ///
    /// A few issues go on the tracker's word for each of them. When much of the project is missing,
    /// one unanswered question is enough to doubt all the answers.
    func refusal(_ counts: CensusCounts, configuration: ScanConfiguration) -> String? {
        let share = counts.live > 0 ? Double(counts.missing) / Double(counts.live) : 0
        guard counts.missing > configuration.censusRemovalCount,
            share > configuration.censusRemovalShare, let firstReason
        else { return nil }
        return """
            the census is not believed: \(counts.missing) of \(counts.live) issues are not listed \
            and the tracker does not say what became of \(unconfirmedCount) of them: \(firstReason)
            """
    }
}

extension TrackerError {
    /// Whether asking for the next issue makes no sense after this error.
    fileprivate var endsCensus: Bool {
        switch self {
        case .unauthenticated, .rateLimited, .cancelled: true
        case .forbidden, .notFound, .unavailable, .invalidResponse, .pageTokenExpired, .refused,
            .outcomeUnknown:
            false
        }
    }
}
