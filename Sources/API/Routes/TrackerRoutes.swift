import Domain
import HTTPTypes
import Store
import Trackers

/// Trackers, and their scans.
struct TrackerRoutes: Sendable {
    let store: Store
    let operations: TrackerOperations

    static let tag = "Trackers"
    static let path = "/api/v1/trackers"
    private static let patterns = Shape.list(of: Shape.text(1_000, minimum: 1), atMost: 1_000)
    private static let shape = Shape.object([
        "id": Shape.identifier, "name": Shape.text, "tracker_type": Shape.text,
        "deployment": Shape.text, "url": Shape.text, "username": Shape.optionalText,
        "status": Shape.choice(["new", "valid", "invalid"]), "status_detail": Shape.optionalText,
        "checked_at": Shape.optionalInstant, "created_at": Shape.instant,
        "include": Shape.list(of: Shape.text), "exclude": Shape.list(of: Shape.text),
        "projects": Shape.count,
    ])
    private static let stateShape = Shape.object([
        "state": Shape.choice(["idle", "running", "done", "partial", "failed"]),
        "started_at": Shape.optionalInstant, "ended_at": Shape.optionalInstant,
        "problems": Shape.list(of: Shape.text),
        "projects": Shape.list(
            of: Shape.object([
                "tracker": Shape.text, "project": Shape.optionalText, "phase": Shape.text,
                "fetched": Shape.count, "written": Shape.count,
            ])
        ),
    ])
    private static let removalShape = Shape.object([
        "id": Shape.identifier, "issues_removed": Shape.count,
        "webhooks_left": Shape.list(of: Shape.text),
    ])
    private static let testShape = Shape.object([
        "username": Shape.text, "scopes": Shape.list(of: Shape.text),
        "warnings": Shape.list(of: Shape.text),
    ])

    /// The routes.
    var routes: [Route] { readingRoutes + writingRoutes + syncRoutes + webhookRoutes }

    // MARK: - Reading

    private var readingRoutes: [Route] {
        let access = Route.Access.permission(.viewTrackers)
        return [
            .on(.get, Self.path, access, tag: Self.tag, "The trackers, by name") { request in
                let page = try PageRequest(request)
                let store = store.viewed(by: try request.user().account)
                let entries = try await store.read { connection, account in
                    try TrackerTable.list(account: account, on: connection).map { tracker in
                        try Entry(tracker, account, connection)
                    }
                }
                let slice = try page.slice(of: entries)
                return page.answer(slice.items.map(\.json), next: slice.next, to: request)
            }.paged.answers(.ok, Shape.list(of: Self.shape)),
            .on(.get, "\(Self.path)/{id}", access, tag: Self.tag, "A tracker") { request in
                try await entry(request).answer(to: request)
            }.answers(.ok, Self.shape).tagged,
        ]
    }

    /// A tracker with what is known about it.
    struct Entry: Sendable {
        var tracker: Tracker
        var scope: Scope
        var projectCount: Int
        /// The token as it is sealed, which is never shown; another one is a change, too.
        private var credential: [UInt8]

        init(
            _ tracker: Tracker,
            _ account: AccountID,
            _ connection: any SQLConnection
        ) throws(StoreError) {
            self.tracker = tracker
            scope = try ScopeRuleTable.scope(of: tracker.id, account: account, on: connection)
            let sealed = try TrackerTable.credential(
                of: tracker.id,
                account: account,
                on: connection
            )
            credential = sealed?.bytes ?? []
            projectCount = try ProjectTable.list(
                tracker: tracker.id,
                account: account,
                on: connection
            ).count { $0.state == .active }
        }

        /// The document, under the tag of what people edit.
        func answer(to request: APIRequest, status: HTTPResponse.Status = .ok) -> APIResponse {
            Versioned.answer(json, version: version, to: request, status: status)
        }

        /// What somebody has set, without what tests and scans find out by the minute: that must
        /// not refuse anybody's change.
        var version: JSONValue {
            guard case .object(var object) = json else { return json }
            for name in ["status", "status_detail", "checked_at", "projects"] { object[name] = nil }
            object["credential"] = .string(Base64URL.encode(credential))
            return .object(object)
        }

        var json: JSONValue {
            func patterns(_ action: ScopeRule.Action) -> JSONValue {
                JSONValue(scope.rules.filter { $0.action == action }.map(\.pattern))
            }
            return [
                "id": .integer(tracker.id.rawValue), "name": .string(tracker.name),
                "tracker_type": .string(tracker.kind.rawValue),
                "deployment": .string(tracker.deployment.rawValue), "url": .string(tracker.url),
                "username": JSONValue(tracker.userName),
                "status": .string(tracker.status.rawValue),
                "status_detail": JSONValue(tracker.statusDetail),
                "checked_at": JSONValue(tracker.checkedAt?.iso8601),
                "created_at": .string(tracker.createdAt.iso8601),
                "include": patterns(.include), "exclude": patterns(.exclude),
                "projects": .integer(Int64(projectCount)),
            ]
        }
    }

    /// The tracker that the path names; a 404 when there is none.
    func entry(_ request: APIRequest) async throws -> Entry {
        let id: TrackerID = try request.identifier("id")
        return try await entry(id, try request.user().account)
    }

    private func entry(_ id: TrackerID, _ account: AccountID) async throws -> Entry {
        try await store.viewed(by: account).read { connection, account in
            try Self.entry(id, account, connection)
        }
    }

    private static func entry(
        _ id: TrackerID,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> Entry {
        guard let tracker = try TrackerTable.find(id, account: account, on: connection) else {
            throw Problem.notFound()
        }
        return try Entry(tracker, account, connection)
    }

    /// Who changes something, and for whom.
    static func author(of request: APIRequest) throws -> TrackerOperations.Author {
        let user = try request.user()
        return TrackerOperations.Author(account: user.account, name: user.author)
    }

    /// Of two who have seen the same the second is refused: for the transaction that writes.
    private static func check(
        _ request: APIRequest,
        of id: TrackerID
    ) -> TrackerOperations.Check {
        { connection, account in
            guard request.headers[.ifMatch] != nil else { return }
            let current = try entry(id, account, connection)
            try Versioned.check(request, against: current.version)
        }
    }

    /// The same, and that the address is the one that the change was made for.
    ///
    /// The service is asked before anything is written, and somebody may set another address
    /// meanwhile: a token must not go to whoever is there.
    private static func check(
        _ request: APIRequest,
        asSeen tracker: Tracker
    ) -> TrackerOperations.Check {
        let isTagged = check(request, of: tracker.id)
        let isOfAddress = ["url", "username", "api_key"].contains { request.content[$0] != nil }
        return { connection, account in
            try isTagged(connection, account)
            guard isOfAddress else { return }
            let current = try entry(tracker.id, account, connection).tracker
            guard haveEqualBytes(current.url, tracker.url) else {
                throw Problem.conflict(
                    "somebody has set another address since; read it again and decide anew",
                    code: "changed_meanwhile"
                )
            }
        }
    }

    // MARK: - Writing

    private var writingRoutes: [Route] {
        let access = Route.Access.permission(.manageTrackers)
        let isTested = Shape.flag
        return [
            .on(.post, Self.path, access, tag: Self.tag, "Add a tracker; its token is tried out") {
                request in
                let author = try Self.author(of: request)
                let tracker = try await operations.add(try draft(request.content), author)
                return try await entry(tracker.id, author.account)
                    .answer(to: request, status: .created)
            }.body(
                Shape.object([
                    "name": Shape.text(100, minimum: 1),
                    "tracker_type": Shape.choice(TrackerKind.allCases.map(\.rawValue)),
                    "deployment?": Shape.choice(TrackerDeployment.allCases.map(\.rawValue)),
                    "url?": Shape.text(2_000, minimum: 1),
                    "username?": Shape.text(255, minimum: 1),
                    "api_key": Shape.text(65_536, "The token.", minimum: 1),
                    "include?": Self.patterns, "exclude?": Self.patterns, "test?": isTested,
                ])
            ).answers(.created, Self.shape).tagged
                .problems(.conflict, .badGateway, .notFound),
            .on(
                .put,
                "\(Self.path)/{id}",
                access,
                tag: Self.tag,
                "Change a tracker's name, token, address or scope",
                handler: change
            ).body(
                Shape.object([
                    "name?": Shape.text(100, minimum: 1),
                    "url?": Shape.text(2_000, minimum: 1),
                    "username?": Shape.text(255, minimum: 1),
                    "api_key?": Shape.text(65_536, "The token.", minimum: 1),
                    "include?": Self.patterns, "exclude?": Self.patterns, "test?": isTested,
                ])
            ).answers(.ok, Self.shape).tagged.guarded.problems(.conflict, .badGateway),
            .on(
                .delete,
                "\(Self.path)/{id}",
                access,
                tag: Self.tag,
                "Remove a tracker, our webhooks there, and all that was read from it"
            ) { request in
                let author = try Self.author(of: request)
                let entry = try await entry(request)
                try Versioned.check(request, against: entry.version)
                let check = Self.check(request, of: entry.tracker.id)
                let removal = try await operations.remove(entry.tracker, author, check)
                return .json([
                    "id": .integer(entry.tracker.id.rawValue),
                    "issues_removed": .integer(Int64(removal.issues)),
                    "webhooks_left": JSONValue(removal.leftovers),
                ])
            }.answers(.ok, Self.removalShape).guarded,
            .on(
                .post,
                "\(Self.path)/{id}/test-connection",
                access,
                tag: Self.tag,
                "Ask the service whose token it is"
            ) { request in
                let account = try request.user().account
                let entry = try await entry(request)
                return .json(Self.json(try await operations.test(entry.tracker, account)))
            }.answers(.ok, Self.testShape).problems(.badGateway, .serviceUnavailable),
        ]
    }

    private func draft(_ content: JSONObject) throws(Problem) -> TrackerOperations.Draft {
        guard let kind = (content["tracker_type"]?.string).flatMap(TrackerKind.init(rawValue:))
        else { throw .invalid("tracker_type", "must be a kind of tracker") }
        return TrackerOperations.Draft(
            name: content["name"]?.string ?? "",
            kind: kind,
            deployment: (content["deployment"]?.string).flatMap(TrackerDeployment.init(rawValue:)),
            url: content["url"]?.string,
            userName: content["username"]?.string,
            token: Secret(content["api_key"]?.string ?? ""),
            scope: Self.scope(content) ?? Scope(),
            isTested: content["test"]?.bool ?? true
        )
    }

    @Sendable private func change(_ request: APIRequest) async throws -> APIResponse {
        let author = try Self.author(of: request)
        let before = try await entry(request)
        // Before a service is asked for nothing.
        try Versioned.check(request, against: before.version)
        let content = request.content
        let change = TrackerOperations.Change(
            name: content["name"]?.string,
            url: content["url"]?.string,
            userName: content["username"]?.string,
            token: (content["api_key"]?.string).map(Secret.init),
            scope: Self.scope(content),
            isTested: content["test"]?.bool ?? true
        )
        let check = Self.check(request, asSeen: before.tracker)
        try await operations.change(before.tracker, change, author, check)
        return try await entry(request).answer(to: request)
    }

    /// The rules; nil when neither list is given.
    private static func scope(_ content: JSONObject) -> Scope? {
        guard content["include"] != nil || content["exclude"] != nil else { return nil }
        func rules(_ name: String, _ action: ScopeRule.Action) -> [ScopeRule] {
            (content[name]?.array ?? []).compactMap(\.string).map {
                ScopeRule(action: action, pattern: $0)
            }
        }
        return Scope(rules("include", .include) + rules("exclude", .exclude))
    }

    private static func json(_ identity: TrackerIdentity) -> JSONValue {
        [
            "username": .string(identity.userName), "scopes": JSONValue(identity.scopes),
            "warnings": JSONValue(identity.warnings),
        ]
    }

    // MARK: - Scans

    private var syncRoutes: [Route] {
        let (view, run) = (
            Route.Access.permission(.viewTrackers), Route.Access.permission(.syncTrackers)
        )
        return [
            .on(.post, "/api/v1/sync", run, tag: Self.tag, "Begin a scan of all trackers") {
                request in
                let account = try request.user().account
                let state = try await operations.startSync(nil, account)
                return .json(Self.json(state), status: .accepted)
            }.answers(.accepted, Self.stateShape).problems(.conflict, .serviceUnavailable),
            .on(.get, "/api/v1/sync", view, tag: Self.tag, "How the latest scan is") { request in
                let account = try request.user().account
                return .json(Self.json(try await operations.syncState(nil, account)))
            }.answers(.ok, Self.stateShape),
            .on(.post, "\(Self.path)/{id}/sync", run, tag: Self.tag, "Begin a scan of a tracker") {
                request in
                let account = try request.user().account
                let entry = try await entry(request)
                let state = try await operations.startSync(entry.tracker, account)
                return .json(Self.json(state), status: .accepted)
            }.answers(.accepted, Self.stateShape).problems(.conflict, .serviceUnavailable),
            .on(
                .get,
                "\(Self.path)/{id}/sync",
                view,
                tag: Self.tag,
                "How the latest scan of this tracker is"
            ) { request in
                let account = try request.user().account
                let tracker = try await entry(request).tracker
                return .json(Self.json(try await operations.syncState(tracker, account)))
            }.answers(.ok, Self.stateShape),
        ]
    }

    private static func json(_ state: TrackerOperations.SyncState) -> JSONValue {
        let projects = state.projects.map { project -> JSONValue in
            [
                "tracker": .string(project.tracker), "project": JSONValue(project.project),
                "phase": .string(project.phase), "fetched": .integer(Int64(project.fetched)),
                "written": .integer(Int64(project.written)),
            ]
        }
        return [
            "state": .string(state.state), "started_at": JSONValue(state.startedAt?.iso8601),
            "ended_at": JSONValue(state.endedAt?.iso8601), "problems": JSONValue(state.problems),
            "projects": .array(projects),
        ]
    }
}
