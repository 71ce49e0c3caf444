package import Domain

/// How far each follower of the feed that keeps its place in the store has come.
package enum FollowerTable {
    /// The place of a follower; ``Revision/zero`` for one never heard of.
    package static func revision(
        of follower: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Revision {
        try revision(connection.rows(statement(follower, account)))
    }

    static func statement(_ follower: String, _ account: AccountID) -> SQL {
        "SELECT revision FROM followers WHERE account_id = \(account) AND name = \(follower)"
    }

    static func revision(_ rows: [SQLRow]) throws(StoreError) -> Revision {
        guard let row = rows.first else { return .zero }
        return Revision(try row.integer("revision"))
    }

    /// Moves a follower forwards; a smaller revision leaves it where it is.
    package static func advance(
        _ follower: String,
        to revision: Revision,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO followers (account_id, name, revision)
            VALUES (\(account), \(follower), \(revision))
            ON CONFLICT (account_id, name) DO UPDATE SET revision = excluded.revision
            WHERE followers.revision < excluded.revision
            """
        )
    }

    /// Sends a follower back to the beginning.
    package static func reset(
        _ follower: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM followers
            WHERE account_id = \(account) AND name = \(follower)
            """
        )
    }
}
