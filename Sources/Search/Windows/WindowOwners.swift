import Domain
import Store
import Synchronization

/// Which issue a window is of, and which windows an issue has, as far as somebody has asked.
///
/// The store is asked once for what one revision of the index answers with: a search asks for some
/// four hundred, each a page or two of the database away. What was known of another revision is
/// forgotten, so that nothing needs to be told of changes.
final class WindowOwners: Sendable {
    /// Windows and issues that are known at a time: some 20 MB.
    private static let maximumCount = 1 << 17

    private struct Known {
        var revision = Revision.zero
        var owners: [Int64: IssueID] = [:]
        var windows: [IssueID: [PassageID]] = [:]

        /// Forgets what is not of a revision, and everything when it is too much.
        mutating func turn(to revision: Revision) {
            guard self.revision != revision || owners.count + windows.count >= maximumCount
            else { return }
            self = Known(revision: revision)
        }
    }

    private let known = Mutex(Known())

    /// The issues of windows.
    ///
    /// - Parameters:
    ///   - windows: Which ones.
    ///   - revision: What the index that answered with them has taken in.
    ///   - read: Asks the store for those that are not known; dead ones are not among its answers.
    /// - Returns: The issue of each window that lives.
    /// - Throws: What `read` throws.
    func owners(
        of windows: [Int64],
        at revision: Revision,
        read: ([PassageID]) async throws -> [Int64: IssueID]
    ) async throws -> [Int64: IssueID] {
        var found: [Int64: IssueID] = [:]
        found.reserveCapacity(windows.count)
        let missing = known.withLock { known in
            known.turn(to: revision)
            return windows.filter { window in
                guard let owner = known.owners[window] else { return true }
                found[window] = owner
                return false
            }
        }
        guard !missing.isEmpty else { return found }
        let owners = try await read(missing.map { PassageID($0) })
        known.withLock { known in
            guard known.revision == revision else { return }
            known.owners.merge(owners) { first, _ in first }
        }
        return found.merging(owners) { first, _ in first }
    }

    /// The windows of issues, of which some are younger than the index.
    ///
    /// - Parameters:
    ///   - issues: Which ones.
    ///   - revision: What the index that is asked for the windows has taken in.
    ///   - read: Asks the store for those that are not known.
    /// - Returns: Windows with their issues, in no order.
    /// - Throws: What `read` throws.
    func windows(
        of issues: [IssueID],
        at revision: Revision,
        read: ([IssueID]) async throws -> [(PassageID, IssueID)]
    ) async throws -> [(PassageID, IssueID)] {
        var found: [(PassageID, IssueID)] = []
        let missing = known.withLock { known in
            known.turn(to: revision)
            return issues.filter { issue in
                guard let windows = known.windows[issue] else { return true }
                found += windows.map { ($0, issue) }
                return false
            }
        }
        guard !missing.isEmpty else { return found }
        let rows = try await read(missing)
        var windows: [IssueID: [PassageID]] = [:]
        // Also those that have none.
        for issue in missing { windows[issue] = [] }
        for (window, issue) in rows { windows[issue, default: []].append(window) }
        known.withLock { known in
            guard known.revision == revision else { return }
            known.windows.merge(windows) { first, _ in first }
        }
        return found + rows
    }
}
