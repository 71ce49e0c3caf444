import Domain
import Store
import Trackers

/// Which projects a scan reads.
///
/// The tracker lists its organisations and their projects; the scope rules choose among them: a
/// project is read when some include rule matches it or its organisation, or when there is no
/// include rule at all, and no exclude rule matches. A stored project that is not listed any more
/// is asked for under its last name, for only its own answer says that access was lost.
extension TrackerScanner {
    func targets(
        path: String?,
        _ report: inout TrackerReport
    ) async throws -> [Target] {
        let (trackerID, store) = (tracker.id, store)
        let known = try await store.read { connection, account in
            Known(
                scope: try ScopeRuleTable.scope(of: trackerID, account: account, on: connection),
                organizations: try OrganizationTable.list(
                    of: trackerID,
                    account: account,
                    on: connection
                ),
                projects: try ProjectTable.list(
                    tracker: trackerID,
                    account: account,
                    on: connection
                ),
                withCommentsDue: Set(
                    try IssueTable.projectsWithCommentsDue(account: account, on: connection)
                )
            )
        }
        let listed = await list(scope: known.scope, &report)
        var targets = try await save(listed, known: known, path: path)
        let paths = Set(listed.map(\.project.path.folded))
        let seen = Set(listed.map(\.project.externalID))
        for project in known.projects where !seen.contains(project.externalID) {
            if let path, project.path.folded != path.folded { continue }
            if !known.includes(project) {
                try await exclude(project)
            } else if paths.contains(project.path.folded) {
                // Another project has taken over the name, under which its issues would be read.
                report.projects.append(try await hide(project))
            } else {
                targets.append(Target(stored: project, remote: RemoteProject(project)))
            }
        }
        for index in targets.indices {
            let id = targets[index].stored.id
            targets[index].hasCommentsDue = known.withCommentsDue.contains(id)
        }
        return targets
    }

    /// A project that is neither listed nor to be asked for.
    private func hide(_ project: StoredProject) async throws -> ProjectReport {
        let reason = "the tracker does not list the project, and another one has its path"
        if !isDryRun, project.state != .inaccessible {
            try await store.write { connection, account in
                try ProjectTable.setState(
                    .inaccessible,
                    error: reason,
                    of: project.id,
                    account: account,
                    on: connection
                )
            }
        }
        var report = ProjectReport(tracker: tracker.name, path: project.path)
        report.outcome = .inaccessible(reason: reason, isNew: project.state != .inaccessible)
        return report
    }

    /// What the store knows of the tracker.
    private struct Known: Sendable {
        var scope: Scope
        var organizations: [StoredOrganization]
        var projects: [StoredProject]
        var withCommentsDue: Set<ProjectID>

        func includes(_ project: StoredProject) -> Bool {
            let organization = organizations.first { $0.id == project.organizationID }
            return scope.includes(organization: organization?.path ?? "", project: project.path)
        }
    }

    private struct Listed: Sendable {
        var organization: RemoteOrganization
        var project: RemoteProject
    }

    /// The projects in scope; a list that fails is reported, and what the store knows is scanned.
    private func list(scope: Scope, _ report: inout TrackerReport) async -> [Listed] {
        let organizations: [RemoteOrganization]
        do throws(TrackerError) {
            organizations = try await client.organizations()
        } catch {
            report.note(error)
            return []
        }
        let wanted = organizations.filter { !scope.excludes(organization: $0.path) }
        let lists = await mapConcurrently(wanted, limit: configuration.projectConcurrency) {
            organization -> Result<ProjectList, TrackerError> in
            do throws(TrackerError) {
                return .success(try await client.projects(of: organization))
            } catch {
                return .failure(error)
            }
        }
        var listed: [Listed] = []
        // A project can be listed below a group and below its subgroup.
        var seen: Set<String> = []
        for (organization, list) in zip(wanted, lists) {
            switch list {
            case .failure(let error):
                report.note(error, in: organization.path)
            case .success(let projects):
                report.failures += projects.unreadable.filter { row in
                    // One that is left out anyway is no loss; a path that cannot be read may be in.
                    row.path.map {
                        scope.includes(organization: organization.path, project: $0)
                    } ?? true
                }.map(\.description)
                for project in projects
                where scope.includes(organization: organization.path, project: project.path)
                    && seen.insert(project.externalID).inserted
                {
                    listed.append(Listed(organization: organization, project: project))
                }
            }
        }
        return listed
    }

    /// Stores what was listed, or in a dry run only makes the values.
    private func save(
        _ listed: [Listed],
        known: Known,
        path: String?
    ) async throws -> [Target] {
        let chosen = listed.filter { entry in
            path.map { $0.folded == entry.project.path.folded } ?? true
        }
        guard !isDryRun else {
            return chosen.map { entry in
                let stored = known.projects.first { $0.externalID == entry.project.externalID }
                return Target(
                    stored: stored ?? .unsaved(entry.project, tracker: tracker.id),
                    remote: entry.project
                )
            }
        }
        let trackerID = tracker.id
        return try await store.write { connection, account in
            var organizations: [RemoteOrganization: OrganizationID] = [:]
            var targets: [Target] = []
            for entry in chosen {
                let organization =
                    try organizations[entry.organization]
                    ?? OrganizationTable.upsert(
                        externalID: entry.organization.externalID,
                        path: entry.organization.path,
                        name: entry.organization.name,
                        tracker: trackerID,
                        account: account,
                        on: connection
                    )
                organizations[entry.organization] = organization
                let project = entry.project
                let stored = try ProjectTable.upsert(
                    ProjectDescription(
                        trackerID: trackerID,
                        organizationID: organization,
                        externalID: project.externalID,
                        path: project.path,
                        name: project.name,
                        url: project.url
                    ),
                    account: account,
                    on: connection
                )
                targets.append(Target(stored: stored.now, remote: project))
            }
            return targets
        }
    }

    private func exclude(_ project: StoredProject) async throws {
        guard !isDryRun, project.state != .excluded else { return }
        try await store.write { connection, account in
            try ProjectTable.setState(
                .excluded,
                error: nil,
                of: project.id,
                account: account,
                on: connection
            )
        }
    }
}

extension RemoteProject {
    init(_ project: StoredProject) {
        self.init(
            externalID: project.externalID,
            path: project.path,
            name: project.name,
            url: project.url
        )
    }
}

extension StoredProject {
    /// A project that a dry run has seen and does not store.
    fileprivate static func unsaved(
        _ project: RemoteProject,
        tracker: TrackerID
    ) -> StoredProject {
        StoredProject(
            ProjectDescription(
                trackerID: tracker,
                organizationID: OrganizationID(0),
                externalID: project.externalID,
                path: project.path,
                name: project.name,
                url: project.url
            ),
            id: ProjectID(0)
        )
    }
}

extension String {
    /// For comparing paths, in which the services take letters of either case.
    fileprivate var folded: [UInt8] { Array(lowercased().utf8) }
}
