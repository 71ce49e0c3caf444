package import Domain
import Gateway
import HTTPTypes
import Store

/// The link that makes the first user of an account.
extension AccountDesk {
    /// A token for the link that makes the first user; nil when there is one.
    ///
    /// The link before it is good no more.
    package func setupToken(of account: AccountID) async throws -> String? {
        let token = OpaqueToken(.setup, account: account)
        let (digest, lifetime, now) = (token.digest, setupLifetime, store.clock.now())
        return try await store.viewed(by: account).write { connection, account in
            guard try !UserTable.hasAny(account: account, on: connection) else {
                try SetupLinkTable.remove(account: account, on: connection)
                return nil
            }
            let end = now.advanced(by: lifetime)
            try SetupLinkTable.replace(
                digest: digest,
                expiresAt: end,
                account: account,
                on: connection
            )
            let made = AuditedChange(
                .setupLinkMade,
                of: "set-up link",
                [("expires_at", .string(end.iso8601))],
                by: self.author
            )
            try self.record([made], at: now, account: account, on: connection)
            return token.text
        }
    }

    /// Whether a set-up link is good.
    package func isSetupToken(_ text: String) async throws -> Bool {
        guard let token = OpaqueToken(.setup, text) else { return false }
        let (digest, now) = (token.digest, store.clock.now())
        return try await store.viewed(by: token.account).read { connection, account in
            guard try !UserTable.hasAny(account: account, on: connection) else { return false }
            return try SetupLinkTable.isValid(
                digest: digest,
                at: now,
                account: account,
                on: connection
            )
        }
    }

    /// Makes the first user, an owner, by a set-up link, which is then used up.
    package func setUp(_ text: String, name: String, password: String) async throws -> User {
        let refused = Problem(.forbidden, "the link is used up or over; start the server again")
        guard let token = OpaqueToken(.setup, text), try await isSetupToken(text) else {
            throw refused
        }
        let (user, hash) = try await checked(Draft(name: name, password: password, role: .owner))
        let (digest, now) = (token.digest, store.clock.now())
        return try await store.viewed(by: token.account).write { connection, account in
            guard
                try SetupLinkTable.isValid(
                    digest: digest,
                    at: now,
                    account: account,
                    on: connection
                ), try !UserTable.hasAny(account: account, on: connection)
            else { throw refused }
            try SetupLinkTable.remove(account: account, on: connection)
            let written = try Self.insert(user, hash, account, on: connection)
            let added = Self.added(written, .setupLink, by: written.author)
            try self.record([added], at: now, account: account, on: connection)
            return written
        }
    }
}
