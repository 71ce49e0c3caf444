import Domain
import MCP
import Search
import Store
import Trackers

// What trackers answer goes into the store at once.

extension TrackerDesk {
    /// Stores what the tracker answered, so that every tool shows it; the next scan finds nothing
    /// new in it.
    ///
    /// A scan that has read a newer state meanwhile is not overwritten.
    ///
    /// - Returns: A warning when that failed: the tracker has the truth, and a scan will bring it.
    func keep(_ issue: Issue, in place: Place, _ context: CallContext) async -> [String] {
        let (project, tracker) = (place.project.id, place.tracker.id)
        let now = reading.store.clock.now()
        // As scans read them: GitHub's comments come by project, the others' issue by issue.
        let comments: IncomingComments =
            place.tracker.kind == .github ? .listedByProject : .listedByIssue
        return await kept(context) { connection, account in
            // Its tracker may have been removed while it was asked.
            guard try ProjectTable.find(project, account: account, on: connection) != nil else {
                return
            }
            let batch = IssueBatch(
                project: project,
                tracker: tracker,
                items: [IncomingIssue(issue, comments: comments)],
                present: now
            )
            _ = try IssueTable.upsert(batch, account: account, on: connection)
        }
    }

    /// Stores a comment that the tracker answered; an issue that is not stored brings it later.
    func keep(_ comment: Comment, on target: Target, _ context: CallContext) async -> [String] {
        let (project, now) = (target.place.project.id, reading.store.clock.now())
        let reference = target.reference
        return await kept(context) { connection, account in
            let row = try IssueTable.find(
                externalID: reference.externalID,
                kind: reference.kind,
                in: project,
                account: account,
                on: connection
            )
            guard let row else { return }
            _ = try CommentTable.upsert(
                [CommentTable.Incoming(issue: row, comment: comment)],
                in: project,
                present: now,
                account: account,
                on: connection
            )
        }
    }

    private func kept(
        _ context: CallContext,
        _ body: @escaping @Sendable (any SQLConnection, AccountID) throws -> Void
    ) async -> [String] {
        do {
            try await reading.store.write(body)
        } catch {
            let reason = ToolFailure(cause: error).message
            return ["the tracker has it; it is not stored here until the next scan: \(reason)"]
        }
        // Loading a model only for this would make the caller wait for seconds.
        guard let search = await searches.searchAtHand() else { return [] }
        do {
            try await search.embedWritten()
        } catch {
            // It is stored and found by its words; the next indexing makes its vectors.
            await context.log(.warning, "not embedded yet: \(ToolFailure(cause: error).message)")
        }
        return []
    }
}

extension Issue {
    /// As writing tools show what the tracker has now.
    func written(in place: TrackerDesk.Place) -> JSONValue {
        [
            "id": .string(url.isEmpty ? key : url), "key": .string(key),
            "kind": .string(kind.rawValue), "title": .string(title),
            "description": .string(prefix(of: body, bytes: TrackerDesk.shownBytes)),
            "state": .string(state.rawValue), "status": JSONValue(status),
            "priority": JSONValue(priority), "type": JSONValue(type),
            "assignees": JSONValue(assignees), "labels": JSONValue(labels),
            "project": .string(place.project.path), "tracker": .string(place.tracker.name),
            "url": .string(url), "updated_at": .string(updatedAt.iso8601),
        ]
    }
}

extension TrackerDesk {
    /// Bytes of a text that an answer repeats: its caller has just written it.
    static let shownBytes = 100_000
}
