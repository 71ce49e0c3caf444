import Domain
import Store
import StoreTestSupport
import Synchronization
import Testing
import Trackers

@testable import Sync

/// What becomes of a webhook's secret when the webhook is taken away.
@Suite struct WebhookRemovalTests {
    /// A tracker that keeps webhooks in memory, for projects alone.
    private final class Registrar: WebhookRegistrar {
        struct State: Sendable {
            var webhooks: [RegisteredWebhook] = []
            /// Whether removals are refused.
            var keeps = false
            /// What new ones are refused with.
            var refusal: TrackerError?
            /// Projects that are not there any more.
            var gone: Set<String> = []
        }

        let state = Mutex(State())

        func webhooks(at place: WebhookPlace) async throws(TrackerError) -> [RegisteredWebhook] {
            let found: [RegisteredWebhook]? = state.withLock { state in
                guard case .project(let project) = place, !state.gone.contains(project.path) else {
                    return nil
                }
                return state.webhooks.filter { $0.place == place }
            }
            guard let found else { throw .notFound(detail: "not here") }
            return found
        }

        func registerWebhook(
            _ webhook: WebhookRegistration,
            at place: WebhookPlace
        ) async throws(TrackerError) -> RegisteredWebhook {
            if let refusal = state.withLock({ $0.refusal }) { throw refusal }
            return state.withLock { state in
                let id = "\(state.webhooks.count + 1)"
                let registered = RegisteredWebhook(id: id, place: place, url: webhook.url)
                state.webhooks.append(registered)
                return registered
            }
        }

        func updateWebhook(
            _ id: String,
            at place: WebhookPlace,
            to webhook: WebhookRegistration
        ) async throws(TrackerError) -> RegisteredWebhook {
            RegisteredWebhook(id: id, place: place, url: webhook.url)
        }

        func removeWebhook(_ id: String, at place: WebhookPlace) async throws(TrackerError) {
            let isRefused = state.withLock { state in
                if !state.keeps { state.webhooks.removeAll { $0.id == id } }
                return state.keeps
            }
            guard !isRefused else { throw .forbidden(detail: "no", missingScope: nil) }
        }
    }

    /// What is written down; nothing more once it is shut.
    private final class Journal: Sendable {
        struct State: Sendable {
            var changes: [WebhookChange] = []
            var isShut = false
        }

        let state = Mutex(State())

        var changes: [WebhookChange] { state.withLock { $0.changes } }

        func add(_ change: WebhookChange) throws {
            let isShut = state.withLock { state in
                if !state.isShut { state.changes.append(change) }
                return state.isShut
            }
            if isShut { throw StoreError.unavailable(detail: "nothing can be recorded") }
        }
    }

    /// A store that follows two projects of an organisation, whose webhooks are registered.
    private struct World {
        let scratch: ScratchStore
        let registrar = Registrar()
        let journal = Journal()
        let tracker: TrackerID
        let installer: WebhookInstaller
        let projects: [ProjectID]

        var store: Store { scratch.store }

        init() async throws {
            scratch = try await Engine.current.store()
            let tracker = Tracker(
                id: TrackerID(1000),
                kind: .gitlab,
                deployment: .cloud,
                name: "lab",
                url: "https://lab",
                createdAt: scratch.store.clock.now()
            )
            self.tracker = tracker.id
            projects = try await scratch.store.write { connection, account in
                try Self.fill(tracker, account, connection)
            }
            let journal = journal
            installer = WebhookInstaller(
                store: scratch.store,
                box: try SecretBox(keyMaterial: Secret("a key for tests, long enough")),
                tracker: tracker,
                registrar: registrar,
                base: "https://preloop",
                record: { change, _, _ in try journal.add(change) }
            )
            let installed = try await installer.install()
            #expect(installed.first?.webhooks.count == 2)
        }

        private static func fill(
            _ tracker: Tracker,
            _ account: AccountID,
            _ connection: any SQLConnection
        ) throws -> [ProjectID] {
            try TrackerTable.insert(
                tracker,
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            let organization = try OrganizationTable.upsert(
                externalID: "acme",
                path: "acme",
                name: "acme",
                tracker: tracker.id,
                account: account,
                on: connection
            )
            return try ["acme/app", "acme/site"].map { path in
                try ProjectTable.upsert(
                    ProjectDescription(
                        trackerID: tracker.id,
                        organizationID: organization,
                        externalID: path,
                        path: path,
                        name: path,
                        url: "https://lab/\(path)"
                    ),
                    account: account,
                    on: connection
                ).now.id
            }
        }

        /// The sealed secret of the organisation; nil where there is none.
        func secret() async throws -> SealedSecret? {
            let tracker = tracker
            return try await store.read { connection, account in
                try WebhookTable.list(of: tracker, account: account, on: connection).first?.secret
            }
        }

        func set(_ state: ProjectState, of project: ProjectID) async throws {
            try await store.write { connection, account in
                try ProjectTable.setState(
                    state,
                    error: nil,
                    of: project,
                    account: account,
                    on: connection
                )
            }
        }
    }

    /// The secret was forgotten with the first attempt, and with it the places: webhooks stayed
    /// registered that no command found again.
    @Test func `what the tracker did not let go is found again by the next removal`() async throws {
        let world = try await World()
        // Nothing is followed any more: the secret alone leads there.
        for project in world.projects { try await world.set(.excluded, of: project) }
        world.registrar.state.withLock { $0.keeps = true }
        let refused = try #require(try await world.installer.remove().first)
        #expect(refused.refused.map { $0.place } == ["acme/app", "acme/site"])
        #expect(refused.webhooks.count == 2 && refused.hasSecret)
        world.registrar.state.withLock { $0.keeps = false }
        let removed = try #require(try await world.installer.remove().first)
        #expect(removed.refused.isEmpty && removed.webhooks.isEmpty && !removed.hasSecret)
        let registered = world.registrar.state.withLock { $0.webhooks }
        #expect(registered.isEmpty)
        #expect(try await world.installer.remove().isEmpty)
    }

    /// The removal of the tracker warned of webhooks that there never were.
    @Test(arguments: [
        (TrackerError.notFound(detail: "no"), false),
        (.forbidden(detail: "no", missingScope: nil), false),
        (.outcomeUnknown(detail: "the connection broke"), true),
        (.unavailable(detail: "it is away"), true),
    ])
    func `a secret is kept where something may be registered with it, and only there`(
        refusal: TrackerError,
        isKept: Bool
    ) async throws {
        let world = try await World()
        #expect(try await world.installer.remove().first?.hasSecret == false)
        world.registrar.state.withLock { $0.refusal = refusal }
        let refused = try #require(try await world.installer.install().first)
        #expect(!refused.refused.isEmpty && refused.webhooks.isEmpty)
        #expect(refused.hasSecret == isKept)
        #expect(try await world.installer.status().first?.hasSecret == isKept)
    }

    @Test func `a secret that is in use outlives an installation that is refused`() async throws {
        let world = try await World()
        world.registrar.state.withLock { state in
            state.webhooks = []
            state.refusal = .notFound(detail: "no")
        }
        #expect(try await world.installer.install().first?.hasSecret == true)
    }

    @Test func `a project that is gone is no refusal, one that is followed is`() async throws {
        let world = try await World()
        world.registrar.state.withLock { $0.gone = ["acme/site"] }
        let followed = try #require(try await world.installer.status().first)
        #expect(followed.refused.map { $0.place } == ["acme/site"])
        try await world.set(.inaccessible, of: world.projects[1])
        let removed = try #require(try await world.installer.remove().first)
        #expect(removed.refused.isEmpty && removed.webhooks.isEmpty && !removed.hasSecret)
    }

    @Test func `each secret that comes or goes is written down, and nothing else`() async throws {
        let world = try await World()
        func change(_ deed: WebhookChange.Deed) -> WebhookChange { WebhookChange(deed, at: "acme") }
        var expected = [change(.installed(isRenewed: false))]
        #expect(world.journal.changes == expected)
        // The secret stays: nothing was changed.
        _ = try await world.installer.install()
        #expect(world.journal.changes == expected)
        _ = try await world.installer.install(renewsSecrets: true)
        expected.append(change(.installed(isRenewed: true)))
        #expect(world.journal.changes == expected)
        for _ in 0..<2 { _ = try await world.installer.remove() }
        expected.append(change(.removed))
        #expect(world.journal.changes == expected)
        // One that the tracker takes nowhere is taken back by nobody's wish.
        world.registrar.state.withLock { $0.refusal = .notFound(detail: "no") }
        _ = try await world.installer.install()
        expected += [change(.installed(isRenewed: false)), change(.withdrawn)]
        #expect(world.journal.changes == expected)
    }

    @Test func `what is stored is taken away once, and written down once`() async throws {
        let world = try await World()
        let journal = Journal()
        let stored = StoredWebhooks(
            store: world.store,
            tracker: world.tracker,
            record: { change, _, _ in try journal.add(change) }
        )
        journal.state.withLock { $0.isShut = true }
        await #expect(throws: StoreError.self) { try await stored.remove() }
        #expect(try await world.secret() != nil)
        journal.state.withLock { $0.isShut = false }
        for _ in 0..<2 { _ = try await stored.remove() }
        #expect(journal.changes == [WebhookChange(.removed, at: "acme")])
        #expect(try await world.secret() == nil)
    }

    @Test func `a secret that cannot be written down neither comes nor goes`() async throws {
        let world = try await World()
        let before = try #require(try await world.secret())
        world.journal.state.withLock { $0.isShut = true }
        await #expect(throws: StoreError.self) {
            try await world.installer.install(renewsSecrets: true)
        }
        await #expect(throws: StoreError.self) { try await world.installer.remove() }
        #expect(try await world.secret() == before)
        world.journal.state.withLock { $0.isShut = false }
        _ = try await world.installer.remove()
        world.journal.state.withLock { $0.isShut = true }
        await #expect(throws: StoreError.self) { try await world.installer.install() }
        #expect(try await world.secret() == nil)
        let registered = world.registrar.state.withLock { $0.webhooks }
        #expect(registered.isEmpty, "the tracker heard of a secret that is not stored")
    }
}
