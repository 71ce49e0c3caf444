import ArgumentParser
import Bootstrap
import Domain
import Store
import Sync

/// `preloop trackers remove`: takes out a tracker with everything that was read from it.
struct TrackersRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove a tracker, its token and its issues."
    )

    @Argument(help: "The tracker's name.")
    var name: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let tracker = try await installation.tracker(named: name)
        let count = try await attempt("the tracker `\(name)` was not removed") {
            try await installation.remove(tracker)
        }
        try await installation.close()
        guard !output.isJSON else {
            try Output.result(["name": .string(name), "issues_removed": .integer(Int64(count))])
            return
        }
        try Output.text(["Removed \(name) with \(count) issues."])
    }
}

extension Installation {
    /// Removes a tracker with all that was read from it; gives the number of issues.
    func remove(_ tracker: Tracker) async throws -> Int {
        let now = store.clock.now()
        return try await store.write { connection, account in
            // A running scan would write into projects that are no longer there.
            let lease = try LeaseTable.acquire(
                ScanRunner.leaseName(of: tracker.id),
                holder: .current(),
                duration: .seconds(60),
                now: now,
                account: account,
                on: connection
            )
            let count = try TrackerRemoval.remove(
                tracker.id,
                deletedAt: now,
                account: account,
                on: connection
            )
            try LeaseTable.release(lease, account: account, on: connection)
            return count
        }
    }
}
