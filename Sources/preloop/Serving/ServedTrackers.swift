import API
import ArgumentParser
import Bootstrap
import Domain
import HTTPClient
import Search
import Store
import Sync
import Trackers

/// What the server does about trackers: the same as the commands, with the server's refusals.
struct ServedTrackers: Sendable {
    let installation: Installation
    let scans: ServedScans

    /// The operations as the routes take them.
    var operations: TrackerOperations {
        TrackerOperations(
            add: { draft, author in try await add(draft, author) },
            change: { tracker, change, author, check in
                try await self.change(tracker, change, author, check)
            },
            remove: { tracker, author, check in
                let installation = installation.viewed(by: author.account)
                let removed = try await installation.removeWithWebhooks(
                    tracker,
                    by: author.name,
                    check: check
                )
                return TrackerOperations.Removal(
                    issues: removed.issues,
                    leftovers: removed.leftovers
                )
            },
            test: { tracker, account in try await test(tracker, account) },
            testProject: { project, tracker, account in
                try await test(project, of: tracker, account)
            },
            startSync: { tracker, account in try await scans.start(tracker, account) },
            syncState: { tracker, account in try await scans.state(of: tracker, account) },
            webhooks: { tracker, task, author in try await webhooks(of: tracker, task, author) }
        )
    }

    private func add(
        _ draft: TrackerOperations.Draft,
        _ author: TrackerOperations.Author
    ) async throws -> Tracker {
        let installation = installation.viewed(by: author.account)
        try Self.checkName(draft.name)
        try Self.check(draft.scope)
        let address = try Self.address(
            draft.url,
            of: draft.kind,
            deployment: draft.deployment,
            user: draft.userName
        )
        var tracker = Tracker(
            id: TrackerID(0),
            kind: draft.kind,
            deployment: draft.deployment
                ?? address.deployment(of: draft.kind, user: draft.userName),
            name: draft.name,
            url: address.url,
            userName: draft.userName,
            createdAt: installation.store.clock.now(),
            isVetted: true
        )
        try await Self.vet(tracker.url, installation)
        let token = try Self.token(draft.token)
        let name = draft.name
        let known = try await installation.store.read { connection, account in
            try TrackerTable.find(name: name, account: account, on: connection)
        }
        guard known == nil else { throw Self.taken(name) }
        if draft.isTested {
            let identity = try await verify(tracker, token, installation)
            tracker.status = .valid
            tracker.statusDetail = identity.statusDetail
            tracker.checkedAt = installation.store.clock.now()
        }
        try await installation.add(
            tracker,
            secret: token,
            scope: draft.scope,
            by: author.name
        )
        let stored = try await installation.store.read { connection, account in
            try TrackerTable.find(name: name, account: account, on: connection)
        }
        guard let stored else { throw Problem.notFound() }
        return stored
    }

    private func change(
        _ before: Tracker,
        _ change: TrackerOperations.Change,
        _ author: TrackerOperations.Author,
        _ check: @escaping TrackerOperations.Check
    ) async throws {
        let installation = installation.viewed(by: author.account)
        guard before.isRemote else { throw Self.imported }
        if let name = change.name { try Self.checkName(name) }
        if let scope = change.scope { try Self.check(scope) }
        var tracker = before
        let changesAddress = change.url != nil || change.userName != nil
        if changesAddress {
            if let user = change.userName { tracker.userName = user }
            tracker.url = try Self.address(
                change.url ?? (before.url.isEmpty ? nil : before.url),
                of: tracker.kind,
                deployment: tracker.kind == .jira ? tracker.deployment : nil,
                user: tracker.userName
            ).url
        }
        if !haveEqualBytes(tracker.url, before.url) {
            // Whoever may change the address must not learn the token by it.
            guard change.token != nil else {
                throw Problem.invalid("api_key", "has to be sent again for another address")
            }
            try await Self.vet(tracker.url, installation)
            tracker.isVetted = true
        }
        let token = try change.token.map(Self.token)
        var identity: TrackerIdentity?
        if change.isTested, token != nil || changesAddress {
            let stored: Secret
            if let token {
                stored = token
            } else {
                stored = try await installation.storedCredential(of: before)
            }
            identity = try await verify(tracker, stored, installation)
        }
        let sealed = try token.map { token in
            try installation.secretBox().seal(
                token,
                for: .tracker(before.id, account: installation.store.account)
            )
        }
        let revision = Revision(
            tracker: tracker,
            name: change.name,
            secret: token,
            credential: sealed,
            scope: change.scope,
            identity: identity,
            changesAddress: changesAddress
        )
        try await write(revision, by: author.name, check, installation)
    }

    /// What is to be written; nil stays.
    private struct Revision: Sendable {
        var tracker: Tracker
        var name: String?
        var secret: Secret?
        /// The same, sealed.
        var credential: SealedSecret?
        var scope: Scope?
        /// What the service says about a token that was tried out.
        var identity: TrackerIdentity?
        var changesAddress: Bool
    }

    private func write(
        _ revision: Revision,
        by author: String,
        _ check: @escaping TrackerOperations.Check,
        _ installation: Installation
    ) async throws {
        let now = installation.store.clock.now()
        let tracker = revision.tracker
        try await installation.change(
            tracker.id,
            secret: revision.secret,
            by: author
        ) { connection, account in
            let id = tracker.id
            guard try TrackerTable.find(id, account: account, on: connection) != nil else {
                throw Problem.notFound()
            }
            try check(connection, account)
            if let name = revision.name {
                try Self.rename(id, to: name, account, connection)
            }
            if let sealed = revision.credential {
                try TrackerTable.setCredential(sealed, of: id, account: account, on: connection)
            }
            if revision.changesAddress {
                try TrackerTable.setAddress(
                    url: tracker.url,
                    userName: tracker.userName,
                    isVetted: tracker.isVetted,
                    of: id,
                    account: account,
                    on: connection
                )
            }
            if let identity = revision.identity {
                try TrackerTable.setStatus(
                    .valid,
                    detail: identity.statusDetail,
                    checkedAt: now,
                    of: id,
                    account: account,
                    on: connection
                )
            }
            if let scope = revision.scope {
                try ScopeRuleTable.replace(with: scope, of: id, account: account, on: connection)
            }
        }
    }

    private static func rename(
        _ id: TrackerID,
        to name: String,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        let known = try TrackerTable.find(name: name, account: account, on: connection)
        guard known == nil || known?.id == id else { throw taken(name) }
        try TrackerTable.setName(name, of: id, account: account, on: connection)
    }

    private func test(_ tracker: Tracker, _ account: AccountID) async throws -> TrackerIdentity {
        try await ask(tracker, account) { _ in }
    }

    /// A token may work, and the project be gone or hidden from it: it is asked for what a scan
    /// begins with, the newest issue.
    private func test(
        _ project: StoredProject,
        of tracker: Tracker,
        _ account: AccountID
    ) async throws -> TrackerIdentity {
        let remote = RemoteProject(
            externalID: project.externalID,
            path: project.path,
            name: project.name,
            url: project.url
        )
        return try await ask(tracker, account) { client in
            _ = try await client.issues(of: remote, walk: .newest, page: nil, validator: nil)
        }
    }

    /// Asks the service who the token belongs to, and what else is wanted; notes what it says of
    /// the token.
    private func ask(
        _ tracker: Tracker,
        _ account: AccountID,
        _ more: (any TrackerClient) async throws -> Void
    ) async throws -> TrackerIdentity {
        let installation = installation.viewed(by: account)
        guard tracker.isRemote else { throw Self.imported }
        let transport = try installation.transport()
        let client = try await installation.client(for: tracker, transport: transport)
        do {
            let identity = try await client.verify()
            try await note(.valid, identity.statusDetail, of: tracker, installation)
            try await more(client)
            return identity
        } catch let error as TrackerError {
            if case .unauthenticated = error {
                try await note(.invalid, "\(error)", of: tracker, installation)
            }
            throw error
        }
    }

    /// Where nobody knows which of the tracker's webhooks are ours, what is stored of them can be
    /// seen and taken away.
    private func webhooks(
        of tracker: Tracker,
        _ task: TrackerOperations.WebhookTask,
        _ author: TrackerOperations.Author
    ) async throws -> [TrackerOperations.Webhooks] {
        let installation = installation.viewed(by: author.account)
        guard tracker.isRemote else { throw Self.imported }
        if let stored = installation.storedWebhooks(of: tracker, by: author.name) {
            switch task {
            case .look: return try await stored.status()
            case .remove: return try await stored.remove()
            case .install:
                throw Problem.conflict(
                    "trackers have to know where they reach this server: its operator has not set "
                        + "PRELOOP_URL",
                    code: "no_public_url"
                )
            }
        }
        let installer = try await installation.webhookInstaller(
            of: tracker,
            by: author.name,
            transport: try installation.transport()
        )
        let outcomes = try await installer.perform(task)
        guard !task.installs || !outcomes.isEmpty else {
            throw Problem.conflict(
                "no project of this tracker is followed yet; scan it first",
                code: "nothing_followed"
            )
        }
        return outcomes
    }

    private func note(
        _ status: TrackerStatus,
        _ detail: String?,
        of tracker: Tracker,
        _ installation: Installation
    ) async throws {
        let now = installation.store.clock.now()
        try await installation.store.write { connection, account in
            try TrackerTable.setStatus(
                status,
                detail: detail,
                checkedAt: now,
                of: tracker.id,
                account: account,
                on: connection
            )
        }
    }

    private func verify(
        _ tracker: Tracker,
        _ token: Secret,
        _ installation: Installation
    ) async throws -> TrackerIdentity {
        let client = try Installation.client(
            for: tracker,
            transport: installation.guarded(try installation.transport(), for: tracker),
            cure: TokenCure("send another token; \(tracker.kind.tokenNeeds(tracker.deployment))")
        ) { () throws(TrackerError) in token }
        return try await client.verify()
    }

    // MARK: - Checks

    private static let imported = Problem.conflict(
        "this tracker holds imported issues; there is no service behind it"
    )

    private static func taken(_ name: String) -> Problem {
        .conflict("there is a tracker `\(name)` already", code: "name_taken")
    }

    private static func checkName(_ name: String) throws(Problem) {
        let hasWords = name.unicodeScalars.contains { !$0.properties.isWhitespace }
        guard hasWords, name.utf8.count <= 100, haveEqualBytes(singleLine(name), name) else {
            throw .invalid("name", "must be one line of 1 to 100 bytes")
        }
        guard !haveEqualBytes(name, IssueImport.trackerName) else {
            throw .invalid("name", "belongs to the issues of `preloop index import`")
        }
    }

    private static func check(_ scope: Scope) throws(Problem) {
        for rule in scope.rules {
            if let fault = ScopeOptions.fault(of: rule.pattern) {
                throw .invalid(
                    rule.action.rawValue,
                    "has the pattern `\(rule.pattern)`: it \(fault)"
                )
            }
        }
    }

    /// Refuses an address of a network that is not the user's business, tried out or not.
    private static func vet(
        _ url: String,
        _ installation: Installation
    ) async throws(Problem) {
        guard !url.isEmpty else { return }
        do throws(EgressRefusal) {
            _ = try await installation.trackerEgress.target(of: url)
        } catch {
            switch error {
            // The trial says so, and where there is none the first scan.
            case .unresolved: return
            case .unusableURL, .unusualHost: throw .invalid("url", "\(error)")
            case .internalName, .internalAddress:
                // Not where a name leads, which is nobody's business who may not go there.
                let cure = installation.trackerCure.map { "; \($0)" } ?? ""
                throw .invalid("url", "is not of the public Internet" + cure)
            }
        }
    }

    private static func address(
        _ url: String?,
        of kind: TrackerKind,
        deployment: TrackerDeployment?,
        user: String?
    ) throws(Problem) -> TrackerAddress {
        do {
            let address = try TrackerAddress(url: url)
            try address.validate(for: kind, deployment: deployment, user: user)
            return address
        } catch let error as ValidationError {
            throw .invalid("url", error.message.replacing("--", with: ""))
        } catch {
            throw .invalid("url", "\(error)")
        }
    }

    /// A header can carry visible ASCII only.
    private static func token(_ secret: Secret) throws(Problem) -> Secret {
        guard secret.reveal().utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .invalid("api_key", "holds spaces, line breaks or characters beyond ASCII")
        }
        return secret
    }
}

extension WebhookInstaller {
    /// Does what is asked for at the tracker.
    func perform(_ task: TrackerOperations.WebhookTask) async throws -> [Outcome] {
        switch task {
        case .look: try await status()
        case .remove: try await remove()
        case .install(let renewsSecrets): try await install(renewsSecrets: renewsSecrets)
        }
    }
}

extension TrackerOperations.WebhookTask {
    /// Whether webhooks are to be there afterwards.
    fileprivate var installs: Bool {
        if case .install = self { true } else { false }
    }
}
