import Domain
import Search
import Store
import VectorIndex

/// The index files as they lie there, before anything quietly makes them anew.
///
/// Both are caches: whatever is wrong with one costs time, never an answer, and so is no more than
/// doubtful.
extension Installation {
    private static let cure = "nothing is lost; `preloop index rebuild` makes it anew"

    /// Looks at where vectors are searched.
    package func examineVectorIndex() async -> Finding {
        switch settings.vectorBackend {
        case .memory: await examineSnapshot()
        case .pgvector: await examineMirror(counting: false)
        }
    }

    /// Looks at everything that the account has for searches and no other account has too.
    func examineIndexes() async -> [Finding] {
        var findings: [Finding] = []
        if settings.vectorBackend == .memory { findings.append(await examineSnapshot()) }
        // Of a database without a mirror one finding is enough; so is it when it does not answer.
        if let state = try? await VectorMirror.state(of: store), state.isReady {
            findings.append(await examineMirror())
        }
        findings.append(await examineLexicalIndex())
        return findings
    }

    private static let mirrorSubject = "pgvector"

    /// Whether the database can search vectors, and has as many as the store; no fault where nobody
    /// asks it to search.
    ///
    /// - Parameter isCounting: Whether the windows are counted too; who compares row by row need
    ///   not.
    /// - Returns: What was found.
    package func examineMirror(counting isCounting: Bool = true) async -> Finding {
        let isWanted = settings.vectorBackend == .pgvector
        do {
            let state = try await VectorMirror.state(of: store)
            guard state.isReady else {
                return Self.finding(unready: state, isWanted: isWanted)
            }
            guard isCounting else {
                return Finding(
                    subject: Self.mirrorSubject,
                    grade: .good,
                    detail: state.description
                )
            }
            let current = try await embeddingModels().first(where: \.isCurrent)
            guard let current, current.dimension <= PassageVectorTable.maximumDimension else {
                return Finding(
                    subject: Self.mirrorSubject,
                    grade: .good,
                    detail: "\(state.description); there is nothing to mirror yet"
                )
            }
            let now = WallClock.system.now()
            let (census, scan) = try await store.read { connection, account in
                (
                    try PassageVectorTable.census(
                        of: current.id,
                        account: account,
                        on: connection
                    ),
                    try LeaseTable.holder(
                        of: IndexTurn.leaseName,
                        now: now,
                        account: account,
                        on: connection
                    )
                )
            }
            return Self.finding(
                census,
                beginning: state.description,
                isWanted: isWanted,
                isFilling: scan != nil
            )
        } catch {
            let failure = CommandFailure(Self.mirrorSubject, cause: error)
            return Finding(
                subject: Self.mirrorSubject,
                grade: .broken,
                detail: failure.reason ?? failure.what,
                advice: failure.hint
            )
        }
    }

    /// What is said of a database that mirrors nothing.
    private static func finding(unready state: VectorMirror.State, isWanted: Bool) -> Finding {
        // What searches do without needs no mending.
        let isInOrder =
            switch state {
            case .absent, .otherEngine, .unmade: !isWanted
            case .ready, .refused, .outdated, .outOfSight: false
            }
        return Finding(
            subject: mirrorSubject,
            grade: isWanted ? .broken : isInOrder ? .good : .doubtful,
            detail: state.description + (isWanted ? "" : "; searches use the index in memory"),
            advice: isInOrder ? nil : state.advice
        )
    }

    /// What the counts of store and mirror say.
    private static func finding(
        _ census: PassageVectorTable.Census,
        beginning: String,
        isWanted: Bool,
        isFilling: Bool
    ) -> Finding {
        let counts = "\(census.windows) windows in the store, \(census.rows) mirrored"
        guard !census.isWhole else {
            return Finding(
                subject: mirrorSubject,
                grade: .good,
                detail: "\(beginning); \(counts)"
            )
        }
        let waiting = census.waiting == 0 ? "" : ", \(census.waiting) changes waiting"
        return Finding(
            subject: mirrorSubject,
            // A search brings the mirror up to date, or says that it has to wait; rows that are
            // missing with no change waiting it would not notice.
            grade: isWanted && census.waiting == 0 ? .broken : .doubtful,
            detail: "\(beginning); \(counts)\(waiting)",
            advice: isFilling && census.waiting > 0
                ? "wait: a scan is filling the mirror at this moment"
                : "fill it with `preloop doctor --vectors --repair`"
                    + (census.waiting > 0 ? ", or let the next scan do so" : "")
        )
    }

    /// Whether the vectors of each length in use have an index in the database, where there are
    /// many.
    ///
    /// Also where nobody asks the database to search: a scan makes an index only where searches
    /// here need one, and the hosts whose searches do may be others than the one that scans. No
    /// part of ``examineMirror(counting:)``, for without an index nothing is wrong with the rows.
    ///
    /// - Returns: A finding for each length whose vectors are compared one by one.
    func examineMirrorIndexes() async -> [Finding] {
        do {
            guard case .ready(_, let indexed, let rows) = try await VectorMirror.state(of: store),
                rows >= VectorMirror.indexedFrom
            else { return [] }
            var lengths: Set<Int> = []
            for account in try await accounts() {
                let models = try await viewed(by: account).embeddingModels()
                lengths.formUnion(
                    models.filter { $0.isCurrent && !$0.isAbsent }.map(\.dimension)
                )
            }
            return lengths.subtracting(indexed)
                .filter { $0 <= PassageVectorTable.maximumIndexedDimension }.sorted()
                .map { Self.finding(unindexed: $0, rows: rows, settings.vectorBackend) }
        } catch {
            // What the database says is told by what looks at the mirror itself.
            return []
        }
    }

    private static func finding(
        unindexed length: Int,
        rows: Int,
        _ backend: VectorBackend
    ) -> Finding {
        let cure = "make it with `preloop doctor --vectors --repair`"
        let rest =
            switch backend {
            case .memory:
                "; scans make it only where PRELOOP_VECTOR_BACKEND is `pgvector`, and a program "
                    + "that searches in memory needs none"
            case .pgvector: ", or let the next scan do so"
            }
        return Finding(
            subject: "\(mirrorSubject) index",
            grade: .doubtful,
            detail: "there is no HNSW index for vectors of \(length) numbers, and the mirror has "
                + "roughly \(rows) rows: searches by the database compare them one by one",
            advice: cure + rest
        )
    }

    /// Opens the vector index's snapshot, every checksum and link checked.
    package func examineSnapshot() async -> Finding {
        let subject = "snapshot"
        guard HomeDirectory.mode(of: snapshotPath) != nil else {
            return Finding(
                subject: subject,
                grade: .good,
                detail: "none yet; it will be built when there is enough to put into it"
            )
        }
        do {
            let snapshot = try Self.openSnapshot(snapshotPath)
            if let fault = try await fault(of: snapshot) {
                return Finding(
                    subject: subject,
                    grade: .doubtful,
                    detail: "`\(snapshotPath)` cannot be used: \(fault)",
                    advice: Self.cure
                )
            }
            return Finding(
                subject: subject,
                grade: .good,
                detail: "\(counted(snapshot.index.count, "vector")), "
                    + "revision \(snapshot.index.revision)"
            )
        } catch {
            return Self.unusable(subject, snapshotPath, error)
        }
    }

    /// Opens the words index, its text compared with its lists.
    package func examineLexicalIndex() async -> Finding {
        let subject = "words index"
        let path = lexicalIndexPath
        let fault: String
        do {
            switch try await LexicalIndex.examine(path: path, of: store) {
            case .missing:
                return Finding(
                    subject: subject,
                    grade: .good,
                    detail: "none yet; it will be built by the next scan or search"
                )
            case .sound(let documents, let revision):
                return Finding(
                    subject: subject,
                    grade: .good,
                    detail: "\(documents) documents, revision \(revision)"
                )
            case .busy:
                return Finding(
                    subject: subject,
                    grade: .doubtful,
                    detail: "`\(path)` could not be looked at: another process writes it",
                    advice: "try again when the scan has ended"
                )
            case .foreign: fault = "it belongs to another store"
            case .ahead(let revision, let head):
                fault = "it is at revision \(revision), ahead of the store's \(head)"
            case .damaged(let detail): fault = detail
            }
        } catch {
            return Self.unusable(subject, path, error)
        }
        return Finding(
            subject: subject,
            grade: .doubtful,
            detail: "`\(path)` cannot be used: \(fault)",
            advice: Self.cure
        )
    }

    private static func unusable(
        _ subject: String,
        _ path: String,
        _ error: any Error
    ) -> Finding {
        let failure = CommandFailure(subject, cause: error)
        return Finding(
            subject: subject,
            grade: .doubtful,
            detail: "`\(path)` cannot be used: \(failure.reason ?? failure.what)",
            advice: cure
        )
    }

    // MARK: - Whose snapshot

    /// A snapshot with what its identity says: account, model, dimension.
    private struct OpenedSnapshot {
        var index: HNSWIndex
        var parts: [String]
    }

    /// Opens a snapshot whoever it belongs to.
    private static func openSnapshot(_ path: String) throws(VectorIndexError) -> OpenedSnapshot {
        let identity: String
        do {
            // No index has this identity; the refusal names the one it has.
            _ = try HNSWIndex.open(path: path, expecting: "", dimension: 1)
            identity = ""
        } catch {
            // A pattern in the catch clause crashes the compiler (6.3.1).
            guard case .snapshotIdentity(_, let found) = error else { throw error }
            identity = found
        }
        let parts = identity.split(separator: "/", omittingEmptySubsequences: false)
        let dimension = parts.count > 2 ? Int(parts[2]) : nil
        return OpenedSnapshot(
            index: try HNSWIndex.open(
                path: path,
                expecting: identity,
                dimension: dimension ?? 1
            ),
            parts: parts.map(String.init)
        )
    }

    /// Why a whole snapshot is not the one that searches need; nil when it is.
    private func fault(of snapshot: OpenedSnapshot) async throws -> String? {
        let (owner, head) = try await store.read { connection, account in
            (
                try StoreIdentity.text(account: account, on: connection),
                try AccountTable.currentRevision(account: account, on: connection)
            )
        }
        guard let first = snapshot.parts.first, haveEqualBytes(first, owner) else {
            return "it belongs to another store"
        }
        let current = try await embeddingModels().first(where: \.isCurrent)
        guard let current, snapshot.parts.count > 1,
            haveEqualBytes(snapshot.parts[1], "\(current.id)")
        else { return "it holds the vectors of a model that is not in use" }
        guard snapshot.index.revision <= head.rawValue else {
            return "it is at revision \(snapshot.index.revision), ahead of the store's \(head)"
        }
        return nil
    }
}
