import Domain
import Search
import Store
import Trackers

/// Finds what is to be written to: projects, issues and pull requests of services.
struct TrackerDesk: Sendable {
    let reading: StoreReading
    let writers: WriterProvider
    let searches: SearchProvider

    /// A project of a service that can be written to.
    struct Place: Sendable {
        var tracker: Tracker
        var project: StoredProject
        var remote: RemoteProject
        var writers: TrackerWriters

        /// What writes pull requests.
        func pullRequests() throws(ToolFailure) -> any PullRequestWriter {
            guard let writer = writers.pullRequests else {
                throw ToolFailure("`\(tracker.name)` is a tracker without pull requests")
            }
            return writer
        }
    }

    /// An issue or pull request in its place.
    struct Target: Sendable {
        var place: Place
        var reference: IssueReference

        /// What writes it; throws when it is known to be no pull request.
        func pullRequests() throws(ToolFailure) -> any PullRequestWriter {
            let writer = try place.pullRequests()
            guard reference.kind == .pullRequest else {
                throw ToolFailure(
                    "`\(reference.key)` is an issue and no pull request",
                    hint: "use its URL, or group/project!\(reference.number) for a merge request"
                )
            }
            return writer
        }
    }

    /// The one project that a path or URL means.
    func place(_ path: String) async throws -> Place {
        let projects = try await reading.projects(path)
        var places: [Place] = []
        var failure: (any Error)?
        for project in projects {
            do {
                places.append(try await place(of: project))
            } catch {
                failure = error
            }
        }
        if places.isEmpty, let failure { throw failure }
        guard places.count == 1 else {
            let names = places.map { "`\($0.tracker.name):\($0.project.path)`" }
            throw ToolFailure(
                "`\(path)` is in several trackers",
                hint: "write one of \(names.joined(separator: ", "))"
            )
        }
        return places[0]
    }

    /// What a reference means; an issue that is not stored yet is read and stored.
    ///
    /// - Parameters:
    ///   - reference: As a caller wrote it.
    ///   - kind: What it is where the reference does not tell; nil when it may be either.
    ///   - context: Of the call.
    /// - Returns: The issue or pull request in its place.
    /// - Throws: ``SearchError/unknownIssue(reference:)`` for one that leads into no project of the
    ///   account, ``SearchError/ambiguousIssue(reference:candidates:)``, ``ToolFailure``,
    ///   ``TrackerError``.
    func target(
        _ reference: String,
        kind: IssueKind?,
        _ context: CallContext
    ) async throws -> Target {
        do {
            return try await storedTarget(reference, kind: kind)
        } catch SearchError.unknownIssue {
            let meaning = try await reading.meaning(of: reference, kind: kind ?? .issue)
            let place = try await place(of: meaning.project)
            let issue = try await place.writers.issues.issue(
                IssueReference(
                    externalID: "",
                    kind: meaning.kind,
                    number: meaning.number,
                    key: meaning.key
                ),
                in: place.remote
            )
            // When it cannot be stored, neither can what is written, and that is told.
            _ = await keep(issue, in: place, context)
            return Target(place: place, reference: IssueReference(issue))
        }
    }

    private func storedTarget(_ reference: String, kind: IssueKind?) async throws -> Target {
        // A number that is gone from the tracker must not lead to whatever the store has under it.
        let summary = try await reading.issue(
            reference,
            preferring: kind,
            takesIdentifier: false
        )
        let row = try await reading.row(summary)
        guard let project = try await project(summary.project) else {
            throw SearchError.unknownIssue(reference: reference)
        }
        return Target(place: try await place(of: project), reference: IssueReference(row.issue))
    }

    private func project(_ id: ProjectID) async throws -> StoredProject? {
        try await reading.store.read { connection, account in
            try ProjectTable.find(id, account: account, on: connection)
        }
    }

    private func place(of project: StoredProject) async throws -> Place {
        let tracker = try await reading.store.read { connection, account in
            try TrackerTable.list(account: account, on: connection)
                .first { $0.id == project.trackerID }
        }
        guard let tracker, tracker.isRemote else {
            throw ToolFailure(
                "`\(project.path)` was imported from a file: there is no tracker to write to"
            )
        }
        guard project.state != .excluded else {
            throw ToolFailure(
                "`\(project.path)` is outside of what `\(tracker.name)` is used for",
                hint: "an operator can widen the tracker's scope"
            )
        }
        return Place(
            tracker: tracker,
            project: project,
            remote: RemoteProject(
                externalID: project.externalID,
                path: project.path,
                name: project.name,
                url: project.url
            ),
            writers: try await writers.writers(of: tracker)
        )
    }
}
