package import Domain
import GRDB
import Glibc

/// How a full-text index file is, found without repairing or replacing it.
package enum LexicalCondition: Sendable, Equatable {
    /// There is no file, or one that nothing was written to; it is made when needed.
    case missing
    /// The file is whole and of this store.
    case sound(documents: Int, revision: Revision)
    /// The file is of another store, or of another version of the program.
    case foreign(identity: String)
    /// It holds changes that the store has not: the store was put back to an earlier state.
    case ahead(revision: Revision, head: Revision)
    case damaged(detail: String)
    /// Another process writes it and could not be waited for.
    case busy
}

extension LexicalIndex {
    /// Reads the whole file and compares its index with its texts.
    ///
    /// Opening the index for use would quietly put a new file in the place of a damaged one.
    ///
    /// - Throws: ``StoreError`` when the store itself cannot be read.
    package static func examine(path: String, of store: Store) async throws -> LexicalCondition {
        let (owner, head) = try await store.read { connection, account in
            (
                try StoreIdentity.text(account: account, on: connection),
                try AccountTable.currentRevision(account: account, on: connection)
            )
        }
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_size > 0 else { return .missing }
        var settings = GRDB.Configuration()
        settings.busyMode = .timeout(5)
        settings.label = "lexical examination"
        let found: Contents?
        do {
            let queue = try DatabaseQueue(path: path, configuration: settings)
            // What the check says is more telling than what closing a damaged file does.
            defer { try? queue.close() }
            found = try await queue.writeWithoutTransaction(contents)
        } catch {
            let error = StoreError(error)
            guard error != .busy else { return .busy }
            return .damaged(detail: "\(error)")
        }
        guard let found else { return .missing }
        if let problem = found.problem { return .damaged(detail: problem) }
        // Before the colon stands the format's version.
        guard found.identity.utf8.drop(while: { $0 != 0x3A }).dropFirst().elementsEqual(owner.utf8)
        else { return .foreign(identity: found.identity) }
        guard found.revision <= head else { return .ahead(revision: found.revision, head: head) }
        return .sound(documents: found.documents, revision: found.revision)
    }

    private struct Contents: Sendable {
        var identity: String
        var revision: Revision
        var documents: Int
        var problem: String?
    }

    /// Nil for a file without tables.
    private static func contents(_ database: GRDB.Database) throws -> Contents? {
        guard try database.tableExists("follower") else { return nil }
        let row = try Row.fetchOne(database, sql: "SELECT identity, revision FROM follower")
        guard let row else {
            return Contents(
                identity: "",
                revision: .zero,
                documents: 0,
                problem: "the table `follower` is empty"
            )
        }
        let answers = try String.fetchAll(database, sql: "PRAGMA integrity_check(10)")
        let problems = answers.filter { !haveEqualBytes($0, "ok") }
        // The check is a command in the form of an insertion; it writes nothing.
        try database.inTransaction {
            try database.execute(
                sql: "INSERT INTO documents(documents) VALUES ('integrity-check')"
            )
            return .rollback
        }
        return Contents(
            identity: row[0],
            revision: Revision(row[1]),
            documents: try documentCount(database),
            problem: problems.isEmpty ? nil : problems.joined(separator: "; ")
        )
    }
}
