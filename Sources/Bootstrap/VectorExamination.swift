import Domain
import Search
import Store
import VectorIndex

/// Every copy of one account's vectors compared with the store, row by row: the mirror in the
/// database and the snapshot of the index in memory.
struct VectorExamination: Sendable {
    /// Something that was found.
    struct Entry: Sendable {
        /// What, for people.
        var finding: Finding
        /// Whether it is of the database, and so the same for every account.
        var isOfDatabase: Bool
    }

    /// What was found.
    private(set) var entries: [Entry] = []
    /// Whether the account has a model, and so vectors.
    private(set) var isIndexed = false
    /// The lengths of vectors whose index was made, or was tried to make.
    private(set) var tried: Set<Int> = []
    /// The lengths of vectors whose index was made anew, or was tried to, because it was wrong.
    var remade: Set<Int> = []
    /// The counts of the mirror by name; null where there is none.
    var mirrorJSON: JSONValue { mirror.map(Self.json) ?? .null }
    /// The counts of the snapshot by name; null where there is none.
    var snapshotJSON: JSONValue { snapshot.map(Self.json) ?? .null }

    /// The counts of the index in the database by name; null where there is none.
    var indexJSON: JSONValue { index.map(Self.json) ?? .null }

    /// What was found of the index in the database; nil where nothing was looked at.
    var index: PassageVectorTable.IndexState?
    private var mirror: VectorMirror.Comparison?
    private var snapshot: SnapshotExamination?

    private static let mirrorSubject = "vectors in pgvector"
    private static let snapshotSubject = "vectors in the snapshot"

    /// Compares, and repairs from the store when asked to; what cannot be looked at is a finding.
    ///
    /// - Parameters:
    ///   - installation: Whose vectors.
    ///   - isRepairing: Whether what differs is mended.
    ///   - tried: Lengths of vectors whose making of an index was tried for another account: it is
    ///     one for all, and may wait for minutes.
    ///   - remade: Lengths of vectors whose index was wrong for another account and made anew.
    init(
        _ installation: Installation,
        repairing isRepairing: Bool,
        without tried: Set<Int> = [],
        remade: Set<Int> = []
    ) async {
        self.remade = remade
        do {
            try await examineMirror(installation, isRepairing, tried)
        } catch {
            note(Self.broken(Self.mirrorSubject, error))
        }
        guard installation.settings.vectorBackend == .memory else { return }
        do {
            try await examineSnapshot(installation, isRepairing)
        } catch {
            note(Self.broken(Self.snapshotSubject, error))
        }
    }

    mutating func note(_ finding: Finding, ofDatabase isOfDatabase: Bool = false) {
        entries.append(Entry(finding: finding, isOfDatabase: isOfDatabase))
    }

    // MARK: - Mirror

    private mutating func examineMirror(
        _ installation: Installation,
        _ isRepairing: Bool,
        _ tried: Set<Int>
    ) async throws {
        let store = installation.store
        let models = try await installation.embeddingModels()
        isIndexed = !models.isEmpty
        var state = try await VectorMirror.state(of: store)
        if isRepairing { state = try await VectorMirror.prepare(store) }
        let isWanted = installation.settings.vectorBackend == .pgvector
        guard case .ready = state else {
            note(Self.finding(unready: state, isWanted: isWanted), ofDatabase: true)
            return
        }
        let found = try await VectorMirror.compare(store, repairing: isRepairing)
        var left: Int?
        if isRepairing {
            // Every row is right now; this only says so.
            for model in models {
                try await VectorMirror.catchUp(store, with: model)
                if model.isCurrent, !model.isAbsent, !tried.contains(model.dimension) {
                    try await makeIndex(in: store, model.dimension)
                }
            }
            state = try await VectorMirror.state(of: store)
            // Looked at again: that something was written does not say that it is right.
            left = found.faultCount > 0 ? try await VectorMirror.compare(store).faultCount : 0
        }
        mirror = found
        note(Self.finding(found, state, left: left))
        noteIndexes(state, models, isWanted: isWanted)
        guard let model = models.first(where: { $0.isCurrent && !$0.isAbsent }) else { return }
        do {
            try await examineIndex(installation, model, isRepairing)
        } catch {
            note(Self.broken(Self.indexSubject, error))
        }
    }

    private mutating func makeIndex(in store: Store, _ dimension: Int) async throws {
        // With fewer rows nothing is tried, and another account may bring more.
        if case .ready(_, _, let rows) = try await VectorMirror.state(of: store),
            rows >= VectorMirror.indexedFrom
        {
            tried.insert(dimension)
        }
        try await VectorMirror.makeIndex(store, dimension: dimension)
    }

    /// Notes what keeps the database from searching by an index.
    private mutating func noteIndexes(
        _ state: VectorMirror.State,
        _ models: [EmbeddingModelTable.Row],
        isWanted: Bool
    ) {
        if !state.canIterate, isWanted {
            note(
                Finding(
                    subject: Self.mirrorSubject,
                    grade: .doubtful,
                    detail: "this version of pgvector gives up where a filter drops what its index "
                        + "found, so all vectors are compared one by one",
                    advice: "install pgvector 0.8, then run `ALTER EXTENSION vector UPDATE`"
                ),
                ofDatabase: true
            )
        }
        // Where searches need none, the doctor says so beside what it says of the rows.
        guard isWanted, case .ready(_, let indexed, let rows) = state,
            let model = models.first(where: { $0.isCurrent && !$0.isAbsent }),
            !indexed.contains(model.dimension),
            model.dimension <= PassageVectorTable.maximumIndexedDimension,
            rows >= VectorMirror.indexedFrom
        else { return }
        note(
            Finding(
                subject: Self.indexSubject,
                grade: .doubtful,
                detail: "there is no index for vectors of \(model.dimension) numbers; they are "
                    + "compared one by one",
                advice: Self.repair
            ),
            ofDatabase: true
        )
    }

    /// What is said of a database that mirrors nothing.
    private static func finding(unready state: VectorMirror.State, isWanted: Bool) -> Finding {
        let grade: Finding.Grade =
            isWanted ? .broken : state == .otherEngine ? .good : .doubtful
        let detail = isWanted ? "" : "; searches use the index in memory"
        return Finding(
            subject: mirrorSubject,
            grade: grade,
            detail: state.description + detail,
            advice: grade == .good ? nil : state.advice
        )
    }

    static let repair = "`preloop doctor --vectors --repair` mends it from the store"

    private static func finding(
        _ found: VectorMirror.Comparison,
        _ state: VectorMirror.State,
        left: Int?
    ) -> Finding {
        let whole =
            "\(found.windows) windows in the store, \(found.rows) rows (\(state.description))"
        guard found.faultCount > 0 else {
            return Finding(subject: mirrorSubject, grade: .good, detail: whole)
        }
        let names = found.examples.map { "\($0.passage) \($0.kind.rawValue)" }
        let detail =
            "\(whole); \(counts(found.faults)); windows "
            + names.joined(separator: ", ") + (found.faultCount > names.count ? ", …" : "")
        if left == 0 {
            return Finding(subject: mirrorSubject, grade: .good, detail: "\(detail): mended")
        }
        if let left {
            return Finding(
                subject: mirrorSubject,
                grade: .broken,
                detail: "\(detail): \(left) of them are still wrong"
            )
        }
        return Finding(subject: mirrorSubject, grade: .broken, detail: detail, advice: repair)
    }

    private static func counts(_ faults: [PassageVectorTable.FaultKind: Int]) -> String {
        PassageVectorTable.FaultKind.allCases.map { "\(faults[$0] ?? 0) \($0.rawValue)" }
            .joined(separator: ", ")
    }

    // MARK: - Snapshot

    private mutating func examineSnapshot(
        _ installation: Installation,
        _ isRepairing: Bool
    ) async throws {
        let models = try await installation.embeddingModels()
        guard let model = models.first(where: \.isCurrent) else {
            note(
                Finding(
                    subject: Self.snapshotSubject,
                    grade: .good,
                    detail: "none: nothing is indexed yet"
                )
            )
            return
        }
        let (store, directory) = (installation.store, installation.indexDirectory)
        let fault: String
        do {
            snapshot = try await SnapshotExamination(
                store: store,
                model: model,
                directory: directory
            )
            guard let snapshot else {
                note(
                    Finding(
                        subject: Self.snapshotSubject,
                        grade: .good,
                        detail: "none yet; it will be built when there is enough to put into it"
                    )
                )
                return
            }
            let whole =
                "\(snapshot.windows) windows in the store, \(snapshot.vectors) vectors, "
                + "\(snapshot.waiting) changes behind"
            guard snapshot.faultCount > 0 else {
                note(
                    Finding(subject: Self.snapshotSubject, grade: .good, detail: whole)
                )
                return
            }
            fault =
                "\(whole); \(Self.counts(snapshot.faults)), \(snapshot.graphFaults) faults in "
                + "the graph"
        } catch let error as VectorIndexError {
            fault = "it cannot be used: \(CommandFailure.text(of: error))"
        }
        guard isRepairing else {
            note(
                Finding(
                    subject: Self.snapshotSubject,
                    grade: .broken,
                    detail: fault,
                    advice: Self.repair
                )
            )
            return
        }
        try await SnapshotExamination.rebuild(
            store: store,
            model: model,
            directory: directory,
            options: installation.settings.index
        )
        note(
            Finding(subject: Self.snapshotSubject, grade: .good, detail: "\(fault): made anew")
        )
    }

    // MARK: - Forms

    private static func broken(_ subject: String, _ error: any Error) -> Finding {
        let failure = CommandFailure("it cannot be compared", cause: error)
        return Finding(
            subject: subject,
            grade: .broken,
            detail: [failure.what, failure.reason].compactMap { $0 }.joined(separator: ": "),
            advice: failure.hint
        )
    }

    private static func json(_ found: VectorMirror.Comparison) -> JSONValue {
        [
            "windows": .integer(Int64(found.windows)), "rows": .integer(Int64(found.rows)),
            "faults": json(found.faults), "mended": .integer(Int64(found.mended)),
        ]
    }

    private static func json(_ found: SnapshotExamination) -> JSONValue {
        [
            "windows": .integer(Int64(found.windows)), "vectors": .integer(Int64(found.vectors)),
            "faults": json(found.faults), "waiting": .integer(Int64(found.waiting)),
            "graph_faults": .integer(Int64(found.graphFaults)),
        ]
    }

    private static func json(_ faults: [PassageVectorTable.FaultKind: Int]) -> JSONValue {
        var object = JSONObject()
        for kind in PassageVectorTable.FaultKind.allCases {
            object.append(key: kind.rawValue, value: .integer(Int64(faults[kind] ?? 0)))
        }
        return .object(object)
    }
}
