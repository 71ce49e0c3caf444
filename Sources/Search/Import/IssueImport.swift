import Domain
package import Store

/// Takes a corpus of issues from a file into the store, where it is indexed like any other.
///
/// Each line is an object with `id`, `source`, `title` and `body`; a source becomes a project. A
/// line imported again changes its issue; what is not in the file stays.
package struct IssueImport: Sendable {
    /// What an import did.
    package struct Report: Sendable, Equatable {
        package var lines = 0
        package var created = 0
        package var changed = 0
        package var unchanged = 0
    }

    /// The name of the tracker that imported issues belong to.
    package static let trackerName = "import"
    /// Its URL; nothing that scans trackers may take it for one.
    package static let trackerURL = Tracker.importURL
    /// Issues in a transaction.
    private static let batchSize = 200

    private let store: Store

    package init(store: Store) {
        self.store = store
    }

    /// Imports a file.
    ///
    /// - Parameters:
    ///   - path: Where it is.
    ///   - wrote: Called after each transaction; wakes who follows the feed.
    /// - Returns: The number of lines and what became of them.
    /// - Throws: ``SearchError/invalidImport(line:reason:)``; the lines before are imported.
    package func run(path: String, wrote: @Sendable () -> Void = {}) async throws -> Report {
        let tracker = try await tracker()
        var projects: [String: ProjectID] = [:]
        var report = Report()
        var reader = try LineReader(path: path)
        var batch: [(source: String, issue: Issue)] = []
        while let bytes = try reader.next() {
            try Task.checkCancellation()
            guard bytes.contains(where: { $0 > 0x20 }) else { continue }
            batch.append(try Self.issue(bytes, line: reader.line))
            report.lines += 1
            if batch.count == Self.batchSize {
                try await write(batch, tracker: tracker, projects: &projects, report: &report)
                wrote()
                batch = []
            }
        }
        try await write(batch, tracker: tracker, projects: &projects, report: &report)
        wrote()
        return report
    }

    // MARK: - Lines

    private static func issue(
        _ bytes: [UInt8],
        line: Int
    ) throws(SearchError) -> (source: String, issue: Issue) {
        let value: JSONValue
        do { value = try JSONParser.parse(bytes) } catch {
            throw .invalidImport(line: line, reason: "\(error)")
        }
        guard let id = value["id"]?.string, !id.isEmpty else {
            throw .invalidImport(line: line, reason: "there is no text `id`")
        }
        guard let source = value["source"]?.string, !source.isEmpty else {
            throw .invalidImport(line: line, reason: "there is no text `source`")
        }
        guard let title = value["title"]?.string else {
            throw .invalidImport(line: line, reason: "there is no text `title`")
        }
        let time = Timestamp(milliseconds: 0)
        return (
            sanitized(source),
            Issue(
                externalID: sanitized(id),
                number: number(in: id),
                key: sanitized(id),
                title: sanitized(title),
                body: sanitized(value["body"]?.string ?? ""),
                createdAt: value["created_at"]?.string.flatMap(Timestamp.init(parsing:)) ?? time,
                updatedAt: value["updated_at"]?.string.flatMap(Timestamp.init(parsing:)) ?? time
            )
        )
    }

    /// The digits an identifier ends with, 0 when it has none that fit.
    private static func number(in id: String) -> Int {
        let digits = id.utf8.reversed().prefix { (48...57).contains($0) }.reversed()
        return Int(String(decoding: Array(digits), as: UTF8.self)) ?? 0
    }

    // MARK: - Store

    private func write(
        _ batch: [(source: String, issue: Issue)],
        tracker: TrackerID,
        projects: inout [String: ProjectID],
        report: inout Report
    ) async throws {
        let now = store.clock.now()
        for (source, items) in Dictionary(grouping: batch, by: \.source).sorted(by: {
            $0.key < $1.key
        }) {
            let project: ProjectID
            if let known = projects[source] {
                project = known
            } else {
                project = try await self.project(source, of: tracker)
                projects[source] = project
            }
            let issues = IssueBatch(
                project: project,
                tracker: tracker,
                items: items.map { IncomingIssue($0.issue, comments: .complete([])) },
                present: now,
                trust: .confirmed
            )
            let result = try await store.write { connection, account in
                try IssueTable.upsert(issues, account: account, on: connection)
            }
            report.created += result.created
            report.changed += result.changed + result.revived + result.moved
            report.unchanged += result.unchanged
        }
    }

    private func tracker() async throws -> TrackerID {
        let now = store.clock.now()
        return try await store.write { connection, account in
            let known = try TrackerTable.find(
                name: Self.trackerName,
                account: account,
                on: connection
            )
            if let known { return known.id }
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            guard let id = ids.first else { throw StoreError.unexpectedValue(column: "last_id") }
            let tracker = Tracker(
                id: id,
                kind: .github,
                deployment: .server,
                name: Self.trackerName,
                url: Self.trackerURL,
                status: .invalid,
                statusDetail: "imported from a file; there is nothing to scan",
                createdAt: now
            )
            try TrackerTable.insert(
                tracker,
                credential: SealedSecret(bytes: []),
                account: account,
                on: connection
            )
            return id
        }
    }

    private func project(_ source: String, of tracker: TrackerID) async throws -> ProjectID {
        try await store.write { connection, account in
            let organization = try OrganizationTable.upsert(
                externalID: Self.trackerName,
                path: Self.trackerName,
                name: "Imported",
                tracker: tracker,
                account: account,
                on: connection
            )
            let description = ProjectDescription(
                trackerID: tracker,
                organizationID: organization,
                externalID: source,
                path: source,
                name: source,
                url: ""
            )
            return try ProjectTable.upsert(description, account: account, on: connection).now.id
        }
    }
}
