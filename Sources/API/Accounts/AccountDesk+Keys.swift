package import Domain
import Gateway
import HTTPTypes
package import Store

/// Keys that programs use on behalf of users.
extension AccountDesk {
    /// Makes a key for a user; its secret is in the answer and nowhere else.
    ///
    /// `authority` is by whose word, nil for the operator's.
    package func addKey(
        name: String,
        scopes: Set<KeyScope>,
        expiresAt: Timestamp?,
        for user: UserID,
        of account: AccountID,
        by authority: Authority? = nil
    ) async throws -> NewKey {
        let now = store.clock.now()
        if let expiresAt, expiresAt <= now {
            throw Problem.invalid("expires_at", "must be in the future")
        }
        let token = OpaqueToken(.apiKey, account: account)
        let (digest, author) = (token.digest, authorName(of: authority))
        return try await store.viewed(by: account).write { connection, account in
            let found = try UserTable.find(user, account: account, on: connection)
            try authority?.verify(about: found, at: now, account: account, on: connection)
            guard let owner = found else { throw Problem.notFound() }
            let known = try APIKeyTable.list(of: user, account: account, on: connection)
            guard known.count < APIKeyTable.maximumPerUser else {
                throw Problem(
                    .conflict,
                    "a user has \(APIKeyTable.maximumPerUser) keys at most; remove some"
                )
            }
            let ids: [APIKeyID] = try AccountTable.nextIDs(1, account: account, on: connection)
            let row = APIKeyTable.Row(
                id: ids[0],
                user: user,
                name: name,
                prefix: token.prefix,
                scopes: scopes.map(\.rawValue).sorted(),
                createdAt: now,
                expiresAt: expiresAt
            )
            do {
                try APIKeyTable.insert(row, digest: digest, account: account, on: connection)
            } catch StoreError.constraint {
                throw Problem(.conflict, "there is a key of that name already", code: "name_taken")
            }
            let added = AuditedChange(
                .keyAdded,
                of: owner.auditSubject(ofKey: name),
                [
                    ("scopes", JSONValue(row.scopes)),
                    ("expires_at", JSONValue(expiresAt?.iso8601)),
                ],
                by: author
            )
            try self.record([added], at: now, account: account, on: connection)
            return NewKey(row: row, key: token.text)
        }
    }

    /// A user's keys, newest first.
    package func keys(of user: UserID, in account: AccountID) async throws -> [APIKeyTable.Row] {
        try await store.viewed(by: account).read { connection, account in
            try APIKeyTable.list(of: user, account: account, on: connection)
        }
    }

    /// Removes a user's key; a 404 when there is none.
    ///
    /// `authority` is by whose word, nil for the operator's.
    package func removeKey(
        _ id: APIKeyID,
        of user: UserID,
        in account: AccountID,
        by authority: Authority? = nil
    ) async throws {
        let (now, author) = (store.clock.now(), authorName(of: authority))
        let isRemoved = try await store.viewed(by: account).write { connection, account in
            let found = try UserTable.find(user, account: account, on: connection)
            try authority?.verify(about: found, at: now, account: account, on: connection)
            let key = try APIKeyTable.list([id], account: account, on: connection).first
            guard let owner = found, let key,
                try APIKeyTable.remove(id, of: user, account: account, on: connection)
            else { return false }
            let removed = AuditedChange(
                .keyRemoved,
                of: owner.auditSubject(ofKey: key.name),
                by: author
            )
            try self.record([removed], at: now, account: account, on: connection)
            return true
        }
        guard isRemoved else { throw Problem.notFound() }
        authenticator.forget()
    }
}
