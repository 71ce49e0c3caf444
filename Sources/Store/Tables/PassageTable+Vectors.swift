import Crypto
package import Domain

/// How a vector is stored: little-endian IEEE 754 binary32 values.
package enum VectorBytes {
    /// The stored form.
    package static func encode(_ vector: [Float]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(vector.count * 4)
        for value in vector {
            let bits = value.bitPattern
            bytes.append(UInt8(truncatingIfNeeded: bits))
            bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
            bytes.append(UInt8(truncatingIfNeeded: bits >> 16))
            bytes.append(UInt8(truncatingIfNeeded: bits >> 24))
        }
        return bytes
    }

    /// The values; nil when the bytes are not `dimension` finite numbers.
    package static func decode(_ bytes: [UInt8], dimension: Int) -> [Float]? {
        guard bytes.count == dimension * 4 else { return nil }
        let values = unsafe [Float](unsafeUninitializedCapacity: dimension) { buffer, count in
            for place in 0..<dimension {
                let start = place * 4
                let bits =
                    UInt32(bytes[start]) | UInt32(bytes[start + 1]) << 8
                    | UInt32(bytes[start + 2]) << 16 | UInt32(bytes[start + 3]) << 24
                unsafe buffer[place] = Float(bitPattern: bits)
            }
            count = dimension
        }
        return values.allSatisfy(\.isFinite) ? values : nil
    }
}

extension PassageTable {
    /// The digest a window is recognised by.
    package static func hash(of text: some Sequence<UInt8>) -> [UInt8] {
        Array(SHA256.hash(data: Array(text)))
    }

    /// A vector with its place.
    package struct Embedded: Sendable {
        package var id: PassageID
        package var place: Place
        package var vector: [Float]
    }

    /// One step of the feed of vectors.
    package struct VectorChange: Sendable {
        package var id: PassageID
        package var issue: IssueID
        /// Nil when the window is gone.
        package var vector: [Float]?
        package var revision: Revision
    }

    /// Vectors written or deleted after a revision, oldest change first.
    package static func vectorChanges(
        after revision: Revision,
        model: EmbeddingModelID,
        dimension: Int,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [VectorChange] {
        try connection.rows(
            """
            SELECT id, issue_id, vector, deleted_at IS NOT NULL AS is_deleted, revision
            FROM passages
            WHERE account_id = \(account) AND revision > \(revision) AND model_id = \(model)
            ORDER BY revision
            LIMIT \(limit)
            """
        ).map { row throws(StoreError) -> VectorChange in try change(row, dimension: dimension) }
    }

    /// The vectors of live windows of issues, by issue, comment, part, position; comments are many,
    /// so the parts are named.
    package static func vectors(
        ofIssues issues: [IssueID],
        parts: [Part] = Part.allCases,
        model: EmbeddingModelID,
        dimension: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Embedded] {
        guard !issues.isEmpty, !parts.isEmpty else { return [] }
        let names = parts.map { part -> SQL in "\(part.rawValue)" }
        return try connection.rows(
            """
            SELECT id, issue_id, comment_id, part, position, vector
            FROM passages
            WHERE account_id = \(account) AND model_id = \(model) AND issue_id \(among: issues)
                AND deleted_at IS NULL AND part IN (\(names, separator: ", "))
            ORDER BY issue_id, comment_id, part, position
            """
        ).map { row throws(StoreError) -> Embedded in
            Embedded(
                id: try row.identifier("id"),
                place: try place(row),
                vector: try vector(row, dimension: dimension)
            )
        }
    }

    /// Live windows after an identifier, by identifier; for walks over everything.
    package static func vectors(
        after id: PassageID,
        model: EmbeddingModelID,
        dimension: Int,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Embedded] {
        try connection.rows(
            """
            SELECT id, issue_id, comment_id, part, position, vector
            FROM passages
            WHERE account_id = \(account) AND model_id = \(model) AND id > \(id)
                AND deleted_at IS NULL
            ORDER BY id
            LIMIT \(limit)
            """
        ).map { row throws(StoreError) -> Embedded in
            Embedded(
                id: try row.identifier("id"),
                place: try place(row),
                vector: try vector(row, dimension: dimension)
            )
        }
    }

    /// Windows after an identifier, tombstones too, by identifier; for walks over everything.
    package static func vectorStates(
        after id: PassageID,
        model: EmbeddingModelID,
        dimension: Int,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [VectorChange] {
        try connection.rows(
            """
            SELECT id, issue_id, vector, deleted_at IS NOT NULL AS is_deleted, revision
            FROM passages
            WHERE account_id = \(account) AND model_id = \(model) AND id > \(id)
            ORDER BY id
            LIMIT \(limit)
            """
        ).map { row throws(StoreError) -> VectorChange in try change(row, dimension: dimension) }
    }

    private static func change(
        _ row: SQLRow,
        dimension: Int
    ) throws(StoreError) -> VectorChange {
        VectorChange(
            id: try row.identifier("id"),
            issue: try row.identifier("issue_id"),
            vector: try row.bool("is_deleted") ? nil : try vector(row, dimension: dimension),
            revision: Revision(try row.integer("revision"))
        )
    }

    /// The number of live windows of a model.
    package static func count(
        model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT COUNT(*) AS live FROM passages
            WHERE account_id = \(account) AND model_id = \(model) AND deleted_at IS NULL
            """
        )
        return Int(try rows.first?.integer("live") ?? 0)
    }

    private static func vector(_ row: SQLRow, dimension: Int) throws(StoreError) -> [Float] {
        guard let vector = VectorBytes.decode(try row.blob("vector"), dimension: dimension) else {
            throw .unexpectedValue(column: "passages.vector")
        }
        return vector
    }
}
