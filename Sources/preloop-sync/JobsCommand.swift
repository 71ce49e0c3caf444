import ArgumentParser
import Bootstrap
import Domain
import Store

/// `preloop-sync jobs …`: what waits, runs, and was given up.
struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs",
        abstract: "Show jobs; try again or discard those that were given up.",
        subcommands: [
            JobsListCommand.self, JobsRetryCommand.self, JobsDiscardCommand.self,
        ],
        defaultSubcommand: JobsListCommand.self
    )
}

/// `preloop-sync jobs list`.
struct JobsListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show jobs, those that were given up unless another state is asked for."
    )

    /// As much as a screen or a script takes.
    private static let limit = 1_000

    @Option(help: "waiting, running, done or dead.")
    var state = "dead"

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard Job.State(rawValue: state) != nil else {
            throw ValidationError("--state is waiting, running, done or dead")
        }
    }

    func run() async throws {
        let installation = try await Installation.open()
        let now = installation.store.clock.now()
        let state = Job.State(rawValue: state) ?? .dead
        let jobs = try await attempt("cannot list the jobs") {
            try await installation.store.read { connection, account in
                try JobTable.list(state, limit: Self.limit, account: account, on: connection)
            }
        }
        guard !output.isJSON else {
            try Output.result(["jobs": .array(jobs.map { json($0, now) })])
            return
        }
        guard !jobs.isEmpty else {
            try Output.text(["There are no \(state.rawValue) jobs."])
            return
        }
        var table = TextTable(["ID", "KIND", "DUE", "ATTEMPTS", "HOLDER", "ERROR"])
        for job in jobs {
            table.append([
                job.id, job.kind.name, job.dueAt.iso8601,
                "\(job.attempts)/\(job.maximumAttempts)", holder(of: job, now),
                singleLine(job.lastError ?? "-"),
            ])
        }
        try Output.text(table.lines)
        let lost = jobs.count { $0.isLost(at: now) }
        guard lost > 0 else { return }
        try Output.text([
            "",
            "\(lost) of them lost their process; `preloop-sync worker` goes on with scans and "
                + "approvals, `preloop serve` with deliveries and approvals.",
        ])
    }

    /// A process that is gone holds a job until another one claims it.
    private func holder(of job: Job, _ now: Timestamp) -> String {
        let name = job.holder?.description ?? "-"
        return job.isLost(at: now) ? "\(name), gone" : name
    }

    private func json(_ job: Job, _ now: Timestamp) -> JSONValue {
        [
            "id": .string(job.id), "kind": .string(job.kind.name),
            "state": .string(job.state.rawValue), "payload": job.payload,
            "due_at": .string(job.dueAt.iso8601), "attempts": .integer(Int64(job.attempts)),
            "maximum_attempts": .integer(Int64(job.maximumAttempts)),
            "holder": JSONValue(job.holder?.description),
            "is_lost": .bool(job.isLost(at: now)), "last_error": JSONValue(job.lastError),
            "created_at": .string(job.createdAt.iso8601),
            "ended_at": JSONValue(job.endedAt?.iso8601),
        ]
    }
}

/// `preloop-sync jobs retry ID`.
struct JobsRetryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry",
        abstract: "Give a job that was given up all its attempts again."
    )

    @Argument(help: "The job's identifier.")
    var id: String

    func run() async throws {
        try await JobChange(id: id, failure: "the job was not revived").run {
            store,
            id in
            let now = store.clock.now()
            return try await store.writeOutsideFeed { connection, account in
                try JobTable.revive(id, now: now, account: account, on: connection)
            }
        }
    }
}

/// `preloop-sync jobs discard ID`.
struct JobsDiscardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard",
        abstract: "Remove a job that waits or was given up."
    )

    @Argument(help: "The job's identifier.")
    var id: String

    func run() async throws {
        try await JobChange(id: id, failure: "the job was not removed").run { store, id in
            try await store.writeOutsideFeed { connection, account in
                try JobTable.discard(id, account: account, on: connection)
            }
        }
    }
}

/// A change of one job.
private struct JobChange {
    let id: String
    let failure: String

    func run(_ change: (Store, String) async throws -> Bool) async throws {
        let installation = try await Installation.open()
        let isFound = try await attempt(failure) { try await change(installation.store, id) }
        guard isFound else {
            throw CommandFailure(
                .notFound,
                failure,
                reason: "there is no such job `\(id)` in a state that allows it",
                hint: "`preloop-sync jobs list` shows the jobs"
            )
        }
        try await attempt("cannot close the store") { try await installation.close() }
    }
}
