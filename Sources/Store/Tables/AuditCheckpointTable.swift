package import Domain

/// Where chains of the audit end, begin and have passed, each with a signature.
///
/// What is signed and by whom is the caller's business.
package enum AuditCheckpointTable {
    /// Which checkpoints besides the end there are.
    package enum Kind: String, Sendable {
        case cut
        case mark
    }

    /// A signed place in a chain.
    package struct Row: Sendable, Equatable {
        package var sequence: Int64
        package var hash: [UInt8]
        package var signedAt: Timestamp
        package var keyID: String
        package var signature: [UInt8]

        package init(
            sequence: Int64,
            hash: [UInt8],
            signedAt: Timestamp,
            keyID: String,
            signature: [UInt8]
        ) {
            self.sequence = sequence
            self.hash = hash
            self.signedAt = signedAt
            self.keyID = keyID
            self.signature = signature
        }
    }

    /// Where a chain ends.
    package struct End: Sendable, Equatable {
        /// The end as it was signed; nil before the first event.
        package var signed: Row?
        /// The number of the last event that there is; 0 when there is none.
        package var last: Int64
        /// The hash of that event; nil when there is none, or it has no hash.
        package var lastHash: [UInt8]?

        package init(signed: Row?, last: Int64, lastHash: [UInt8]? = nil) {
            self.signed = signed
            self.last = last
            self.lastHash = lastHash
        }
    }

    /// Takes the chain's lock: until the transaction ends nobody else goes on with it.
    package static func lockEnd(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> End {
        if let found = try lockedEnd(account: account, on: connection) { return found }
        try connection.execute(
            """
            INSERT INTO audit_chains (account_id, sequence, hash, signed_at, key_id, signature)
            VALUES (\(account), 0, \([] as [UInt8]), \(Timestamp(milliseconds: 0)), '',
                \([] as [UInt8]))
            ON CONFLICT (account_id) DO NOTHING
            """
        )
        guard let made = try lockedEnd(account: account, on: connection) else {
            throw .unexpectedValue(column: "audit_chains.account_id")
        }
        return made
    }

    private static func lockedEnd(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> End? {
        switch connection.dialect {
        // A write transaction has the whole database.
        case .sqlite: break
        case .postgres:
            // A statement of its own: another one's events are seen only when its lock is gone.
            let locked = try connection.rows(
                "SELECT sequence FROM audit_chains WHERE account_id = \(account) FOR UPDATE"
            )
            guard !locked.isEmpty else { return nil }
        }
        let found = try connection.rows(
            """
            SELECT c.sequence, c.hash, c.signed_at, c.key_id, c.signature,
                (SELECT COALESCE(MAX(e.sequence), 0) FROM audit_events e
                WHERE e.account_id = c.account_id) AS last,
                (SELECT e.hash FROM audit_events e WHERE e.account_id = c.account_id
                ORDER BY e.sequence DESC LIMIT 1) AS last_hash
            FROM audit_chains c WHERE c.account_id = \(account)
            """
        )
        guard let row = found.first else { return nil }
        let end = try checkpoint(row)
        return End(
            signed: end.signature.isEmpty && end.sequence == 0 ? nil : end,
            last: try row.integer("last"),
            // Something that is no hash is not the one that was signed.
            lastHash: try? row.blob("last_hash")
        )
    }

    /// The signed end; nil before the first event.
    package static func end(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        let rows = try connection.rows(
            """
            SELECT sequence, hash, signed_at, key_id, signature FROM audit_chains
            WHERE account_id = \(account)
            """
        )
        guard let row = rows.first else { return nil }
        let end = try checkpoint(row)
        return end.signature.isEmpty && end.sequence == 0 ? nil : end
    }

    /// Moves the end; the caller has the lock.
    package static func setEnd(
        _ row: Row,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE audit_chains SET sequence = \(row.sequence), hash = \(row.hash),
                signed_at = \(row.signedAt), key_id = \(row.keyID), signature = \(row.signature)
            WHERE account_id = \(account)
            """
        )
    }

    /// Leaves a checkpoint; an equal one is replaced.
    package static func add(
        _ kind: Kind,
        _ row: Row,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO audit_checkpoints (account_id, kind, sequence, hash, signed_at, key_id,
                signature)
            VALUES (\(account), \(kind.rawValue), \(row.sequence), \(row.hash), \(row.signedAt),
                \(row.keyID), \(row.signature))
            ON CONFLICT (account_id, kind, sequence) DO UPDATE SET hash = excluded.hash,
                signed_at = excluded.signed_at, key_id = excluded.key_id,
                signature = excluded.signature
            """
        )
    }

    /// Checkpoints of a kind behind a number, in their order.
    package static func list(
        _ kind: Kind,
        after sequence: Int64 = 0,
        limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Row] {
        try connection.rows(
            """
            SELECT sequence, hash, signed_at, key_id, signature FROM audit_checkpoints
            WHERE account_id = \(account) AND kind = \(kind.rawValue) AND sequence > \(sequence)
            ORDER BY sequence LIMIT \(limit)
            """
        ).map(checkpoint)
    }

    /// The newest cut; nil for a chain from which nothing was removed.
    package static func cut(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        try last(.cut, account: account, on: connection)
    }

    /// The checkpoint of a kind with the greatest number.
    package static func last(
        _ kind: Kind,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Row? {
        try connection.rows(
            """
            SELECT sequence, hash, signed_at, key_id, signature FROM audit_checkpoints
            WHERE account_id = \(account) AND kind = \(kind.rawValue)
            ORDER BY sequence DESC LIMIT 1
            """
        ).first.map(checkpoint)
    }

    /// Removes what a cut at a number makes useless: marks up to it, and earlier cuts.
    package static func removeObsolete(
        cutAt sequence: Int64,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM audit_checkpoints
            WHERE account_id = \(account) AND (sequence < \(sequence)
                OR sequence = \(sequence) AND kind = \(Kind.mark.rawValue))
            """
        )
    }

    private static func checkpoint(_ row: SQLRow) throws(StoreError) -> Row {
        Row(
            sequence: try row.integer("sequence"),
            hash: try row.blob("hash"),
            signedAt: try row.timestamp("signed_at"),
            keyID: try row.text("key_id"),
            signature: try row.blob("signature")
        )
    }
}
