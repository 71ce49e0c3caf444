package import Domain

/// The embedded windows of issues and comments, with their vectors.
///
/// Rows are written by one follower of the feed (the indexer) and read by many. A window that is no
/// longer there keeps its row as a tombstone with a revision, so that every index drops it.
package enum PassageTable {
    /// Which text of an issue a window is cut from.
    package enum Part: String, Sendable, CaseIterable {
        case title
        case body
        case comment
    }

    /// The place of a window: unique for a model.
    package struct Place: Sendable, Hashable {
        package var issue: IssueID
        /// Nil for the issue's own text.
        package var comment: CommentID?
        package var part: Part
        /// From 0 within the part.
        package var position: Int

        package init(issue: IssueID, comment: CommentID? = nil, part: Part, position: Int) {
            self.issue = issue
            self.comment = comment
            self.part = part
            self.position = position
        }
    }

    /// A stored window without its vector.
    package struct Passage: Sendable, Equatable {
        package var id: PassageID
        package var place: Place
        /// UTF-8 bytes of the part's text.
        package var range: Range<Int>
        package var textHash: [UInt8]
        package var isDeleted: Bool
    }

    /// A window to be written.
    package struct Draft: Sendable {
        /// The row to overwrite; nil for a new one.
        package var id: PassageID?
        package var place: Place
        package var range: Range<Int>
        package var textHash: [UInt8]
        /// Nil leaves the stored vector: only the range moved.
        package var vector: [Float]?

        package init(
            id: PassageID?,
            place: Place,
            range: Range<Int>,
            textHash: [UInt8],
            vector: [Float]?
        ) {
            self.id = id
            self.place = place
            self.range = range
            self.textHash = textHash
            self.vector = vector
        }
    }

    // MARK: - Writing

    /// Writes windows and tombstones, each with a new revision.
    package static func write(
        _ drafts: [Draft],
        deleting deleted: [PassageID],
        model: EmbeddingModelID,
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let ids: [PassageID] = try AccountTable.nextIDs(
            drafts.count { $0.id == nil },
            account: account,
            on: connection
        )
        let drawn = try AccountTable.nextRevisions(
            drafts.count + deleted.count,
            account: account,
            on: connection
        )
        guard let first = drawn.first, let last = drawn.last else { return }
        let isMirrored = try PassageVectorTable.exists(on: connection)
        var revisions = drawn.makeIterator()
        var fresh = ids.makeIterator()
        var created = SQLTable(rowKinds)
        var statements: [SQL] = []
        var mirrored: [SQL] = []
        for draft in drafts {
            guard let revision = revisions.next(), let id = draft.id ?? fresh.next() else { break }
            if draft.id == nil {
                created.append(row(draft, id, model, revision, account))
            } else {
                statements.append(update(id, to: draft, revision: revision, account: account))
            }
            if isMirrored { mirrored.append(mirror(draft, id, model, revision, account)) }
        }
        for id in deleted {
            guard let revision = revisions.next() else { break }
            statements.append(
                """
                UPDATE passages
                SET vector = \([UInt8]()), deleted_at = \(now), revision = \(revision)
                WHERE account_id = \(account) AND id = \(id)
                """
            )
            if isMirrored { mirrored.append(PassageVectorTable.delete(id, account: account)) }
        }
        let announced =
            isMirrored
            ? PassageVectorTable.announce(first...last, model: model, account: account) : []
        try connection.execute(batch: announced + [insert(created)] + statements + mirrored)
    }

    /// What a window's mirror needs; a vector too long for the mirror has none.
    private static func mirror(
        _ draft: Draft,
        _ id: PassageID,
        _ model: EmbeddingModelID,
        _ revision: Revision,
        _ account: AccountID
    ) -> SQL {
        guard let vector = draft.vector, vector.count <= PassageVectorTable.maximumDimension else {
            return PassageVectorTable.touch(id, revision: revision, account: account)
        }
        let row = PassageVectorTable.Row(
            passage: id,
            issue: draft.place.issue,
            model: model,
            revision: revision,
            vector: vector
        )
        return PassageVectorTable.put(row, account: account)
    }

    /// The types of a row's columns, as ``insert(_:)`` names them.
    private static let rowKinds: [SQLKind] = [
        .integer, .integer, .integer, .integer, .integer, .text, .integer, .integer, .integer,
        .blob, .blob, .integer,
    ]

    private static func row(
        _ draft: Draft,
        _ id: PassageID,
        _ model: EmbeddingModelID,
        _ revision: Revision,
        _ account: AccountID
    ) -> [SQLValue] {
        [
            SQLValue(account), SQLValue(id), SQLValue(model), SQLValue(draft.place.issue),
            SQLValue(draft.place.comment?.rawValue ?? 0), .text(draft.place.part.rawValue),
            SQLValue(draft.place.position), SQLValue(draft.range.lowerBound),
            SQLValue(draft.range.upperBound), .blob(draft.textHash),
            .blob(VectorBytes.encode(draft.vector ?? [])), SQLValue(revision),
        ]
    }

    private static func insert(_ rows: SQLTable) -> SQL {
        """
        INSERT INTO passages (account_id, id, model_id, issue_id, comment_id, part, position,
            text_start, text_end, text_hash, vector, revision)
        \(rows: rows)
        """
    }

    private static func update(
        _ id: PassageID,
        to draft: Draft,
        revision: Revision,
        account: AccountID
    ) -> SQL {
        """
        UPDATE passages
        SET text_start = \(draft.range.lowerBound), text_end = \(draft.range.upperBound),
            text_hash = \(draft.textHash),
            vector = COALESCE(\(draft.vector.map(VectorBytes.encode)), vector),
            deleted_at = NULL, revision = \(revision)
        WHERE account_id = \(account) AND id = \(id)
        """
    }

    /// Removes rows of a model that is no longer searched, a bounded number at a time.
    ///
    /// - Returns: How many were removed; 0 when there are none left.
    package static func removeSome(
        of model: EmbeddingModelID,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        if try PassageVectorTable.exists(on: connection) {
            let mirrored = PassageVectorTable.deleteSome(of: model, limit: limit, account: account)
            try connection.execute(mirrored)
        }
        return try connection.execute(
            """
            DELETE FROM passages WHERE account_id = \(account) AND id IN (
                SELECT id FROM passages WHERE account_id = \(account) AND model_id = \(model)
                LIMIT \(limit)
            )
            """
        )
    }

    // MARK: - Reading

    /// The windows of issues, comments included, tombstones too; by issue, comment, part, position.
    package static func passages(
        ofIssues issues: [IssueID],
        model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Passage] {
        guard !issues.isEmpty else { return [] }
        return try connection.rows(
            """
            SELECT id, issue_id, comment_id, part, position, text_start, text_end, text_hash,
                deleted_at IS NOT NULL AS is_deleted
            FROM passages
            WHERE account_id = \(account) AND model_id = \(model) AND issue_id \(among: issues)
            ORDER BY issue_id, comment_id, part, position
            """
        ).map(passage)
    }

    /// The windows with these identifiers, tombstones too, by identifier.
    package static func passages(
        _ ids: [PassageID],
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Passage] {
        guard !ids.isEmpty else { return [] }
        return try connection.rows(passagesStatement(ids, account)).map(passage)
    }

    static func passagesStatement(_ ids: [PassageID], _ account: AccountID) -> SQL {
        """
        SELECT id, issue_id, comment_id, part, position, text_start, text_end, text_hash,
            deleted_at IS NOT NULL AS is_deleted
        FROM passages WHERE account_id = \(account) AND id \(among: ids)
        ORDER BY id
        """
    }

    static func passage(_ row: SQLRow) throws(StoreError) -> Passage {
        let start = Int(try row.integer("text_start"))
        let end = Int(try row.integer("text_end"))
        guard 0 <= start, start <= end else { throw .unexpectedValue(column: "passages.text_end") }
        return Passage(
            id: try row.identifier("id"),
            place: try place(row),
            range: start..<end,
            textHash: try row.blob("text_hash"),
            isDeleted: try row.bool("is_deleted")
        )
    }

    static func place(_ row: SQLRow) throws(StoreError) -> Place {
        guard let part = Part(rawValue: try row.text("part")) else {
            throw .unexpectedValue(column: "passages.part")
        }
        let comment = try row.integer("comment_id")
        return Place(
            issue: try row.identifier("issue_id"),
            comment: comment == 0 ? nil : CommentID(comment),
            part: part,
            position: Int(try row.integer("position"))
        )
    }
}
