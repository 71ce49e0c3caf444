import Domain
import Foundation
import Store

/// Writes issues as a scan does: what is stored is read and compared, identifiers and revisions
/// are drawn, new and changed rows written, in transactions of a page each.
enum StoreBenchmark {
    static let synopsis = "DATABASE ISSUES.jsonl [PAGE]"

    /// One line for issues that are new, one for the same issues changed, one unchanged.
    static func run(_ arguments: [String]) async throws {
        let (address, path) = (arguments[0], arguments[1])
        let page = arguments.count > 2 ? Int(arguments[2]) ?? 1000 : 1000
        let issues = try read(path)
        let isServer = PostgresConfiguration.isAddress(address)
        let database: any Database =
            isServer
            ? PostgresDatabase(PostgresConfiguration(address: Secret(address)))
            : try SQLiteDatabase(path: address)
        let store = try await Store.open(database)
        let project = try await project(in: store)
        var engine = isServer ? "postgres" : "sqlite"
        engine += ", pages of \(page)"
        try await measure("insert", engine, issues, page, project, store)
        let changed = issues.map { issue in
            var issue = issue
            issue.title += " (edited)"
            issue.updatedAt = issue.updatedAt.advanced(by: .seconds(1))
            return issue
        }
        try await measure("update", engine, changed, page, project, store)
        try await measure("unchanged", engine, changed, page, project, store)
        try await database.close()
    }

    private static func measure(
        _ what: String,
        _ engine: String,
        _ issues: [Issue],
        _ page: Int,
        _ project: ProjectID,
        _ store: Store
    ) async throws {
        let start = ContinuousClock.now
        for first in stride(from: 0, to: issues.count, by: page) {
            let items = issues[first..<min(first + page, issues.count)].map {
                IncomingIssue($0, comments: .listedByProject)
            }
            let batch = IssueBatch(
                project: project,
                tracker: TrackerID(1),
                items: items,
                present: store.clock.now()
            )
            _ = try await store.write { connection, account in
                try IssueTable.upsert(batch, account: account, on: connection)
            }
        }
        let seconds = start.duration(to: .now) / .seconds(1)
        let line: JSONValue = [
            "subject": "store", "engine": .string(engine), "operation": .string(what),
            "rows": .integer(Int64(issues.count)), "seconds": .double(seconds),
            "rows_per_second": .double((Double(issues.count) / seconds).rounded()),
        ]
        print(line.serializedText())
    }

    private static func project(in store: Store) async throws -> ProjectID {
        try await store.write { connection, account in
            try ProjectTable.upsert(
                ProjectDescription(
                    trackerID: TrackerID(1),
                    organizationID: OrganizationID(1),
                    externalID: "1",
                    path: "o/p",
                    name: "p",
                    url: "u"
                ),
                account: account,
                on: connection
            ).now.id
        }
    }

    private static func read(_ path: String) throws -> [Issue] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        return try data.split(separator: UInt8(ascii: "\n")).map { line in
            let value = try JSONParser.parse(Array(line))
            func text(_ key: String) -> String { value[key]?.string ?? "" }
            func instant(_ key: String) -> Timestamp {
                Timestamp(milliseconds: value[key]?.integer ?? 0)
            }
            return Issue(
                externalID: text("external_id"),
                number: Int(value["number"]?.integer ?? 0),
                key: text("key"),
                title: text("title"),
                body: text("body"),
                labels: (value["labels"]?.array ?? []).compactMap(\.string),
                author: value["author"]?.string,
                createdAt: instant("created_at"),
                updatedAt: instant("updated_at"),
                url: text("url")
            )
        }
    }
}
