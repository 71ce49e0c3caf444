package import Domain
import GRDB

/// The numbers of a lexical index as a whole.
package struct LexicalStatistics: Sendable, Equatable {
    package var documentCount: Int
    /// Mean number of terms in title and body together.
    package var averageTextLength: Double
    /// Mean number of terms in the title.
    package var averageTitleLength: Double
}

extension LexicalIndex {
    /// The number of documents and their mean length.
    package func statistics() async throws -> LexicalStatistics {
        try await guarded { database in
            try Self.statistics(database)
        }
    }

    private static func statistics(_ database: GRDB.Database) throws -> LexicalStatistics {
        let totals = try LexicalTotals(of: database)
        let divisor = max(Double(totals.documents), 1)
        return LexicalStatistics(
            documentCount: totals.documents,
            averageTextLength: Double(totals.titleTerms + totals.bodyTerms) / divisor,
            averageTitleLength: Double(totals.titleTerms) / divisor
        )
    }

    /// The documents of issues, by identifier; those not indexed are left out.
    package func documents(of issues: [IssueID]) async throws -> [LexicalDocument] {
        try await guarded { database in
            let statement = try database.cachedStatement(
                sql: "SELECT title, body, comments FROM documents WHERE rowid = ?"
            )
            return try issues.sorted().compactMap { issue in
                try Row.fetchOne(statement, arguments: [issue.rawValue]).map { row in
                    LexicalDocument(
                        issue: issue,
                        title: row[0] ?? "",
                        body: row[1] ?? "",
                        comments: row[2] ?? ""
                    )
                }
            }
        }
    }

    /// In how many documents each term stands; about, for terms that stand in many.
    package func frequencies(of terms: [String]) async throws -> [Int] {
        guard !terms.isEmpty else { return [] }
        return try await counts(of: terms).terms
    }

    /// The number of documents, and in how many of them each term stands.
    func counts(of terms: [String]) async throws -> (documents: Int, terms: [Int]) {
        let known = termCounts
        return try await guarded { database in
            let documents = try LexicalTotals(of: database).documents
            return (documents, try known.counts(of: terms, in: documents, at: nil, on: database))
        }
    }
}

/// The totals that FTS5 keeps in one blob of varints: rows, then the terms of each column
/// (fts5_index.c, FTS5_AVERAGES_ROWID); counting would read a row a document.
struct LexicalTotals {
    var documents = 0
    var titleTerms = 0
    var bodyTerms = 0
    var commentTerms = 0

    /// Terms of all columns.
    var terms: Int { titleTerms + bodyTerms + commentTerms }

    /// Of an empty index.
    init() {}

    init(of database: GRDB.Database) throws {
        let row = try Row.fetchOne(
            database.cachedStatement(sql: "SELECT block FROM documents_data WHERE id = 1")
        )
        guard case .blob(let data)? = row?.databaseValues.first?.storage else { return }
        var reader = VarintReader([UInt8](data))
        func next() -> Int { Int(clamping: reader.next() ?? 0) }
        (documents, titleTerms, bodyTerms, commentTerms) = (next(), next(), next(), next())
    }
}

/// Reads SQLite's variable-length integers: seven bits a byte, most significant first.
struct VarintReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        rest = bytes[...]
    }

    mutating func next() -> UInt64? {
        var value: UInt64 = 0
        for place in 0..<9 {
            guard let byte = rest.popFirst() else { return nil }
            guard place < 8 else { return value << 8 | UInt64(byte) }
            value = value << 7 | UInt64(byte & 0x7F)
            if byte & 0x80 == 0 { return value }
        }
        return value
    }
}
