package import Domain
package import HTTPClient
import Store
package import Trackers

extension Installation {
    /// The product's version, in `--version` and `User-Agent`.
    package static let version = "0.1.0"

    /// The one HTTP client of the process.
    package func transport() throws -> any HTTPTransport {
        try Self.transport(settings)
    }

    /// An HTTP client with the environment's proxies and certificate authorities.
    package static func transport(_ settings: Settings) throws -> any HTTPTransport {
        try CurlClient(
            configuration: CurlClient.Configuration(
                version: version,
                environment: settings.environment
            )
        )
    }

    /// The tracker of that name.
    package func tracker(named name: String) async throws(CommandFailure) -> Tracker {
        let found = try await attempt("cannot look up the tracker `\(name)`") {
            try await store.read { connection, account in
                try TrackerTable.find(name: name, account: account, on: connection)
            }
        }
        guard let found else {
            throw CommandFailure(
                .notFound,
                "there is no tracker `\(name)`",
                hint: "`preloop trackers list` shows the names"
            )
        }
        return found
    }

    /// Stores a tracker under a new identifier, its credential sealed, and records it.
    ///
    /// - Parameters:
    ///   - tracker: What it is to be.
    ///   - secret: Its credential.
    ///   - scope: What is read of it.
    ///   - author: Who adds it, for the record.
    /// - Throws: ``CommandFailure`` when there is one of that name, what the store refuses, and why
    ///   it cannot be recorded.
    package func add(
        _ tracker: Tracker,
        secret: Secret,
        scope: Scope,
        by author: String
    ) async throws {
        let box = try secretBox()
        try await store.write { connection, account in
            let known = try TrackerTable.find(
                name: tracker.name,
                account: account,
                on: connection
            )
            guard known == nil else {
                throw CommandFailure(
                    .failure,
                    "there is a tracker `\(tracker.name)` already",
                    hint: "choose another name; `preloop trackers update` changes its token"
                )
            }
            var tracker = tracker
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            tracker.id = ids[0]
            try TrackerTable.insert(
                tracker,
                credential: try box.seal(secret, for: .tracker(tracker.id, account: account)),
                account: account,
                on: connection
            )
            try ScopeRuleTable.replace(
                with: scope,
                of: tracker.id,
                account: account,
                on: connection
            )
            try recordAddition(
                of: tracker,
                scope: scope,
                hasCredential: !secret.isEmpty,
                by: author,
                on: connection
            )
        }
    }

    /// A client for a stored tracker; its credential is read again whenever the service refuses it.
    ///
    /// `willWait` is told until when, before requests wait for the service's rate limit. Throws
    /// at once when the credential does not open: a `TrackerError` whose cure is the key's.
    package func client(
        for tracker: Tracker,
        transport: any HTTPTransport,
        willWait: @escaping @Sendable (Timestamp) -> Void = { _ in }
    ) async throws -> any TrackerClient {
        let access = try await access(to: tracker)
        return try Self.client(
            for: tracker,
            transport: guarded(transport, for: tracker),
            willWait: willWait,
            cure: access.cure,
            credential: access.source
        )
    }

    /// What writes to a stored tracker; nothing is sent yet.
    ///
    /// - Throws: At once when the credential does not open, as ``client(for:transport:willWait:)``.
    package func writers(
        for tracker: Tracker,
        transport: any HTTPTransport
    ) async throws -> TrackerWriters {
        let access = try await access(to: tracker)
        var parameters = Self.parameters(
            for: tracker,
            transport: guarded(transport, for: tracker),
            credential: access.source
        )
        parameters.tokenCure = access.cure
        return try TrackerClients.writers(parameters)
    }

    private func access(to tracker: Tracker) async throws -> Access {
        let box: SecretBox
        do throws(CommandFailure) {
            box = try secretBox()
        } catch {
            let isDamaged = SecretKeyFile(home: home.path).exists
            throw TrackerError.unauthenticated(
                detail: error.reason ?? error.what,
                cure: TokenCure(
                    Self.keyAdvice(for: tracker.name, isDamaged: isDamaged),
                    isUnread: true
                )
            )
        }
        let store = store
        do {
            _ = try await Self.credential(of: tracker, in: store, box: box)
        } catch let error as StoreError {
            throw Self.unread(tracker, error)
        }
        let source: TrackerSession.CredentialSource = { () throws(TrackerError) in
            do {
                return try await Self.credential(of: tracker, in: store, box: box)
            } catch let error as StoreError {
                throw Self.unread(tracker, error) as? TrackerError
                    ?? .unauthenticated(detail: "\(error)")
            } catch {
                throw TrackerError.unauthenticated(detail: "\(error)")
            }
        }
        let cure = TokenCure(
            "make a new token and store it with `preloop trackers update \(tracker.name)`; "
                + tracker.kind.tokenNeeds(tracker.deployment)
        )
        return Access(source: source, cure: cure)
    }

    /// A credential that is read when it is needed, and what to do when it is refused.
    private struct Access {
        var source: TrackerSession.CredentialSource
        var cure: TokenCure
    }

    /// A credential that does not open says what to do about the key; other errors stay.
    private static func unread(_ tracker: Tracker, _ error: StoreError) -> any Error {
        guard case .undecryptable = error else { return error }
        return TrackerError.unauthenticated(
            detail: "\(error)",
            cure: TokenCure(keyAdvice(for: tracker.name), isUnread: true)
        )
    }

    /// A tracker's credential, opened.
    ///
    /// Throws `StoreError.undecryptable` when it does not open.
    package func storedCredential(of tracker: Tracker) async throws -> Secret {
        try await Self.credential(of: tracker, in: store, box: secretBox())
    }

    private static func credential(
        of tracker: Tracker,
        in store: Store,
        box: SecretBox
    ) async throws -> Secret {
        let sealed = try await store.read { connection, account in
            try TrackerTable.credential(of: tracker.id, account: account, on: connection)
        }
        guard let sealed else {
            throw StoreError.unavailable(detail: "the tracker `\(tracker.name)` was removed")
        }
        return try box.open(sealed, for: .tracker(tracker.id, account: store.account))
    }

    /// A client for a tracker whose credential comes from elsewhere; `cure` is what to do when the
    /// service refuses it.
    package static func client(
        for tracker: Tracker,
        transport: any HTTPTransport,
        willWait: @escaping @Sendable (Timestamp) -> Void = { _ in },
        cure: TokenCure? = nil,
        credential: @escaping TrackerSession.CredentialSource
    ) throws -> any TrackerClient {
        var parameters = parameters(for: tracker, transport: transport, credential: credential)
        parameters.willWait = willWait
        parameters.tokenCure = cure
        return try TrackerClients.make(parameters)
    }

    private static func parameters(
        for tracker: Tracker,
        transport: any HTTPTransport,
        credential: @escaping TrackerSession.CredentialSource
    ) -> TrackerClients.Parameters {
        TrackerClients.Parameters(
            kind: tracker.kind,
            deployment: tracker.deployment,
            url: tracker.url.isEmpty ? nil : tracker.url,
            userName: tracker.userName,
            credential: credential,
            transport: transport
        )
    }
}
