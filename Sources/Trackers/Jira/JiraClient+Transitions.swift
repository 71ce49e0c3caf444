import Domain
import HTTPClient

extension JiraClient {
    /// The states the issue's workflow leads to from where it is.
    package func statusOptions(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> [StatusOption] {
        try await transitions(of: issue).map(\.option)
    }

    private func transitions(
        of issue: IssueReference
    ) async throws(TrackerError) -> [JiraTransition] {
        let request = TrackerRequest(
            path: "\(path(issue))/transitions",
            query: ["expand": "transitions.fields"]
        )
        let (value, _) = try await session.document(request)
        return (value["transitions"]?.array ?? []).compactMap(JiraTransition.init)
    }

    /// Takes the step to the state a change asks for; none when the issue is there already.
    ///
    /// A step's name is not its state's name, and which steps there are depends on the present
    /// state and on permissions: a state that cannot be reached is refused with those that can.
    ///
    /// - Returns: The name of the state the step leads to; nil when none was taken.
    func bringToState(
        _ issue: IssueReference,
        in project: RemoteProject,
        _ change: IssueChange,
        mayDropResolution: Bool = false
    ) async throws(TrackerError) -> String? {
        guard change.status != nil || change.state != nil || change.resolution != nil else {
            return nil
        }
        let present = try await self.issue(issue, in: project)
        let steps: [JiraTransition]
        switch try await way(from: present, issue, change) {
        case .arrived:
            if let resolution = change.resolution, !mayDropResolution {
                try await set(resolution, of: issue)
            }
            return nil
        case .step(let step):
            try await take(step, issue, in: project, change, mayDropResolution)
            return step.status
        case .blocked(let others): steps = others
        }
        let wanted = change.status ?? (change.state ?? .closed).rawValue
        let from = present.status ?? present.state.rawValue
        throw .invalid(
            "status",
            "`\(wanted)` cannot be reached from `\(from)`",
            cure: "reachable from here: \(steps.listing)"
        )
    }

    /// How an issue gets to where a change wants it.
    private enum Way {
        /// It is there.
        case arrived
        case step(JiraTransition)
        /// By none of these, which are all there are.
        case blocked([JiraTransition])
    }

    /// The names of states and of steps go before what `open` and `closed` mean on every tracker:
    /// a workflow may have a state called Closed beside others that are as final.
    private func way(
        from present: Issue,
        _ issue: IssueReference,
        _ change: IssueChange
    ) async throws(TrackerError) -> Way {
        let name = change.status?.lowercased()
        if let name, present.status?.lowercased() == name { return .arrived }
        let state: IssueState? =
            if let name { IssueState(rawValue: name) } else { change.state ?? .closed }
        if name == nil, present.state == state { return .arrived }
        let steps = try await transitions(of: issue)
        if let name, let step = steps.step(to: name) { return .step(step) }
        guard let state else { return .blocked(steps) }
        if present.state == state { return .arrived }
        let step = steps.step(to: state, resolution: change.resolution)
        return step.map { .step($0) } ?? .blocked(steps)
    }

    private func take(
        _ step: JiraTransition,
        _ issue: IssueReference,
        in project: RemoteProject,
        _ change: IssueChange,
        _ mayDropResolution: Bool
    ) async throws(TrackerError) {
        var body = JSONObject()
        body["transition"] = ["id": .string(step.id)]
        let resolution = try Self.resolution(change.resolution, for: step, mayDropResolution)
        if let resolution { body["fields"] = ["resolution": ["name": .string(resolution)]] }
        let missing = step.required.filter { $0 != "resolution" }
        guard missing.isEmpty else {
            throw .refused(
                WriteRefusal(
                    .invalid,
                    detail: "the step `\(step.name)` to `\(step.status)` asks for more",
                    fields: missing.map { .init(field: $0, problem: "is required") },
                    cure: "take this step in Jira itself, or choose another state"
                )
            )
        }
        let from = try await self.issue(issue, in: project).status
        _ = try await session.writeOnce(
            .json("POST", "\(path(issue))/transitions", .object(body)),
            read: { (_) throws(TrackerError) in true },
            find: { () async throws(TrackerError) -> Bool? in
                let status = try await self.issue(issue, in: project).status
                return status == step.status && status != from ? true : nil
            }
        )
    }

    /// The resolution to send: the one asked for in the step's own spelling, or one of its own
    /// where it must have one.
    private static func resolution(
        _ wanted: String?,
        for step: JiraTransition,
        _ mayDrop: Bool
    ) throws(TrackerError) -> String? {
        guard let allowed = step.resolutions else {
            guard step.tellsFields else { return wanted }
            guard wanted != nil, !mayDrop else { return nil }
            throw .invalid(
                "resolution",
                "cannot be set by the step to `\(step.status)`",
                cure: "leave the resolution out, or choose another state"
            )
        }
        guard let wanted else {
            guard step.isResolutionRequired else { return nil }
            return allowed.first { ["done", "fixed"].contains($0.lowercased()) } ?? allowed.first
        }
        if allowed.isEmpty { return wanted }
        if let name = allowed.first(where: { $0.lowercased() == wanted.lowercased() }) {
            return name
        }
        if mayDrop { return step.isResolutionRequired ? allowed.first : nil }
        throw .invalid(
            "resolution",
            "`\(wanted)` is not one of this step's",
            cure: "use one of: \(allowed.joined(separator: ", "))"
        )
    }

    /// Changes the resolution of an issue that stays where it is.
    private func set(
        _ resolution: String,
        of issue: IssueReference
    ) async throws(TrackerError) {
        let body: JSONValue = ["fields": ["resolution": ["name": .string(resolution)]]]
        _ = try await session.write(.json("PUT", path(issue), body), isIdempotent: true)
    }
}
