package import Domain
import Search
import Store
import VectorIndex

/// Every copy of the vectors compared with the store, row by row: the mirror in the database and
/// the snapshot of the index in memory.
package struct VectorExamination: Sendable {
    /// What was found, for people.
    package var findings: [Finding] = []
    /// The counts by name.
    package var json: JSONValue {
        ["mirror": mirror.map(Self.json) ?? .null, "snapshot": snapshot.map(Self.json) ?? .null]
    }

    private var mirror: VectorMirror.Comparison?
    private var snapshot: SnapshotExamination?

    private static let mirrorSubject = "vectors in pgvector"
    private static let snapshotSubject = "vectors in the snapshot"

    /// Compares, and repairs from the store when asked to; what cannot be looked at is a finding.
    package init(_ installation: Installation, repairing isRepairing: Bool) async {
        do {
            try await examineMirror(installation, isRepairing)
        } catch {
            findings.append(Self.broken(Self.mirrorSubject, error))
        }
        guard installation.settings.vectorBackend == .memory else { return }
        do {
            try await examineSnapshot(installation, isRepairing)
        } catch {
            findings.append(Self.broken(Self.snapshotSubject, error))
        }
    }

    // MARK: - Mirror

    private mutating func examineMirror(
        _ installation: Installation,
        _ isRepairing: Bool
    ) async throws {
        let store = installation.store
        let models = try await installation.embeddingModels()
        var state = try await VectorMirror.state(of: store)
        if isRepairing { state = try await VectorMirror.prepare(store) }
        guard case .ready = state else {
            let isWanted = installation.settings.vectorBackend == .pgvector
            let grade: Finding.Grade =
                isWanted ? .broken : state == .otherEngine ? .good : .doubtful
            let detail = isWanted ? "" : "; searches use the index in memory"
            findings.append(
                Finding(
                    subject: Self.mirrorSubject,
                    grade: grade,
                    detail: state.description + detail,
                    advice: grade == .good ? nil : state.advice
                )
            )
            return
        }
        let found = try await VectorMirror.compare(store, repairing: isRepairing)
        var left: Int?
        if isRepairing {
            // Every row is right now; this only says so.
            for model in models {
                try await VectorMirror.catchUp(store, with: model)
                if model.isCurrent {
                    try await VectorMirror.makeIndex(store, dimension: model.dimension)
                }
            }
            state = try await VectorMirror.state(of: store)
            // Looked at again: that something was written does not say that it is right.
            left = found.faultCount > 0 ? try await VectorMirror.compare(store).faultCount : 0
        }
        mirror = found
        findings.append(Self.finding(found, state, left: left))
        if !state.canIterate, installation.settings.vectorBackend == .pgvector {
            findings.append(
                Finding(
                    subject: Self.mirrorSubject,
                    grade: .doubtful,
                    detail: "this version of pgvector gives up where a filter drops what its index "
                        + "found, so all vectors are compared one by one",
                    advice: "install pgvector 0.8, then run `ALTER EXTENSION vector UPDATE`"
                )
            )
        }
        guard case .ready(_, let indexed, let rows) = state,
            let model = models.first(where: \.isCurrent), !indexed.contains(model.dimension),
            model.dimension <= PassageVectorTable.maximumIndexedDimension,
            rows >= VectorMirror.indexedFrom
        else { return }
        findings.append(
            Finding(
                subject: Self.mirrorSubject,
                grade: .doubtful,
                detail: "there is no index for vectors of \(model.dimension) numbers; they are "
                    + "compared one by one",
                advice: Self.repair
            )
        )
    }

    private static let repair = "`preloop doctor --vectors --repair` mends it from the store"

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
            findings.append(
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
                findings.append(
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
                findings.append(
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
            findings.append(
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
        findings.append(
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
