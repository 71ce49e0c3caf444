import ArgumentParser
import Bootstrap
import Domain
import Store
import Trackers

/// `preloop trackers test`: asks the service who the stored token belongs to.
struct TrackersTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Try out a tracker's stored token."
    )

    @Argument(help: "The tracker's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let tracker = try await installation.tracker(named: name)
        guard tracker.isRemote else {
            throw CommandFailure(
                .usage,
                "`\(name)` holds imported issues; it has no token to try out"
            )
        }
        let identity: TrackerIdentity
        let client = try await attempt("the token of `\(name)` cannot be read") {
            try await installation.client(for: tracker, transport: try installation.transport())
        }
        do {
            identity = try await client.verify()
        } catch {
            // Without an answer nothing is known of the token.
            var failure = CommandFailure("`\(name)` cannot be asked", cause: error)
            if failure.status == .authentication {
                failure.what = "the token of `\(name)` does not work"
                try await note(.invalid, detail: failure.reason, of: tracker, in: installation)
            }
            throw failure
        }
        try await note(
            .valid,
            detail: identity.statusDetail,
            of: tracker,
            in: installation
        )
        try report(identity)
    }

    private func note(
        _ status: TrackerStatus,
        detail: String?,
        of tracker: Tracker,
        in installation: Installation
    ) async throws(CommandFailure) {
        let now = installation.store.clock.now()
        try await attempt("cannot note the outcome") {
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
            try await installation.close()
        }
    }

    private func report(_ identity: TrackerIdentity) throws {
        guard !output.isJSON else {
            try Output.result([
                "name": .string(name), "user": .string(identity.userName),
                "scopes": JSONValue(identity.scopes),
                "warnings": JSONValue(identity.warnings),
            ])
            return
        }
        let scopes =
            identity.scopes.isEmpty ? "" : ", scopes \(identity.scopes.joined(separator: ", "))"
        try Output.text(
            ["\(name): token of \(singleLine(identity.userName))\(singleLine(scopes))"]
                + identity.warnings.map { "warning: \(singleLine($0))" }
        )
    }
}
