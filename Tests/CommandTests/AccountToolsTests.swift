import Bootstrap
import Domain
import Foundation
import Search
import Store
import Testing

/// The indexes that a server holds open: bounded, and kept for the next process.
struct AccountToolsTests {
    private func installation(_ indexed: IndexedSandbox) async throws -> Installation {
        try await Installation.open(try Settings(environment: indexed.sandbox.environment))
    }

    /// With registration strangers make accounts; each had its indexes open for ever.
    @Test func `accounts that nobody asks for are closed, and few are held`() async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        let installation = try await installation(indexed)
        var limits = AccountTools.Limits()
        limits.accounts = 2
        limits.idleTime = .zero
        let tools = AccountTools(installation, limits: limits)
        let own = installation.store.account
        _ = try await tools.search(.text, of: own)
        for number in 2...6 {
            // There is nothing to open for them, which is no reason to remember them.
            _ = try? await tools.search(.text, of: AccountID(Int64(number)))
        }
        let held = await tools.accounts
        #expect(held.count == 3 && held.contains(own), "\(held)")
        await tools.tidy { Testing.Issue.record($0) }
        #expect(await tools.accounts == [own])
        try await installation.close()
    }

    /// A server that was only told of changes never wrote a snapshot.
    @Test func `what was taken in is kept while the server runs`() async throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        try FileManager.default.removeItem(atPath: indexed.snapshot)
        let installation = try await installation(indexed)
        let tools = AccountTools(installation)
        _ = try await tools.search(.hybrid, of: installation.store.account)
        #expect(!FileManager.default.fileExists(atPath: indexed.snapshot))
        await tools.tidy { Testing.Issue.record($0) }
        #expect(FileManager.default.fileExists(atPath: indexed.snapshot))
        #expect(await tools.stop(within: .seconds(120)) { Testing.Issue.record($0) })
        #expect(await tools.accounts.isEmpty)
        try await installation.close()
    }
}
