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
            // FTS5 keeps its totals in one blob of varints: rows, then the terms of each column
            // (fts5_index.c, FTS5_AVERAGES_ROWID).
            let blob = try [UInt8].fetchAverages(database)
            var reader = VarintReader(blob)
            let rows = reader.next() ?? 0
            let titles = Double(reader.next() ?? 0)
            let bodies = Double(reader.next() ?? 0)
            let divisor = max(Double(rows), 1)
            return LexicalStatistics(
                documentCount: Int(clamping: rows),
                averageTextLength: (titles + bodies) / divisor,
                averageTitleLength: titles / divisor
            )
        }
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

    /// In how many documents each term stands.
    package func frequencies(of terms: [String]) async throws -> [Int] {
        guard !terms.isEmpty else { return [] }
        return try await guarded { database in
            let statement = try database.cachedStatement(
                sql: "SELECT doc FROM vocabulary WHERE term = ?"
            )
            return try terms.map { try Int.fetchOne(statement, arguments: [$0]) ?? 0 }
        }
    }
}

extension [UInt8] {
    fileprivate static func fetchAverages(_ database: GRDB.Database) throws -> [UInt8] {
        let row = try Row.fetchOne(database, sql: "SELECT block FROM documents_data WHERE id = 1")
        guard case .blob(let data)? = row?.databaseValues.first?.storage else { return [] }
        return [UInt8](data)
    }
}

/// Reads SQLite's variable-length integers: seven bits a byte, most significant first.
private struct VarintReader {
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
