import Domain
import Store

/// The ends of scans that found nothing to store, written many at a time.
///
/// A project in which nothing has happened would otherwise cost a transaction with its fsync, most
/// of the time of a scan with nothing to do. What a kill loses is when the project was last looked
/// at, nothing that was read.
actor ScanEnds {
    /// Ends kept before they are written.
    private static let limit = 100

    private let store: Store
    private var waiting: [(project: ProjectID, end: ScanEnd)] = []

    init(store: Store) {
        self.store = store
    }

    /// Keeps an end until it is written with others.
    func add(_ end: ScanEnd, of project: ProjectID) async throws {
        waiting.append((project, end))
        if waiting.count >= Self.limit { try await write() }
    }

    /// Writes what is kept.
    func write() async throws {
        guard !waiting.isEmpty else { return }
        let ends = waiting
        waiting = []
        try await store.write { connection, account in
            for (project, end) in ends {
                try ProjectTable.endScan(end, of: project, account: account, on: connection)
            }
        }
    }
}
