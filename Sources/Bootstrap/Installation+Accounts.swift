package import Domain
package import Gateway
import Store

/// The accounts of the database beside the installation's own: those of people who registered.
extension Installation {
    /// Every account but the installation's own, oldest first.
    ///
    /// Identifiers alone, for there may be many: who looks at all of them views one after the
    /// other.
    package func otherAccounts() async throws -> [AccountID] {
        let own = store.account
        return try await store.database.read { connection in
            try AccountTable.list(on: connection).filter { $0 != own }
        }
    }

    /// What writes an account's audit: one for all that happens in the process.
    ///
    /// - Throws: ``CommandFailure`` when there is no key.
    package func auditWriter(of account: AccountID) throws -> AuditWriter {
        try viewed(by: account).auditWriter()
    }

    /// How people are told which account is meant: by its number, which its directory of index
    /// files has, and its name.
    package func accountTitle() async -> String {
        let number = "account \(store.account)"
        // Whatever keeps the name from being read is told where it matters.
        let name = try? await store.read { connection, account in
            try AccountTable.name(of: account, on: connection)
        }
        guard let name, !name.isEmpty else { return number }
        return "\(number) (\(singleLine(name)))"
    }

    /// The accounts whose indexes are looked after, the installation's own first.
    package func accounts() async throws -> [AccountID] {
        [store.account] + (try await otherAccounts())
    }

    /// The installation as an account sees it whose indexes are looked after.
    ///
    /// - Parameter account: One of ``accounts()``.
    /// - Returns: Nil for another account than the installation's own into which nothing was read:
    ///   it needs no files.
    /// - Throws: What the store refuses.
    package func indexable(_ account: AccountID) async throws -> Installation? {
        guard account != store.account else { return self }
        let other = viewed(by: account)
        let hasTexts = try await other.store.read { connection, account in
            guard try EmbeddingModelTable.all(account: account, on: connection).isEmpty else {
                return true
            }
            let texts = try PassageTable.changedTextCount(
                after: .zero,
                account: account,
                on: connection
            )
            return texts > 0
        }
        return hasTexts ? other : nil
    }
}
