import Domain
import Search
import Store

// The index over the mirror: whether it is whole, and finds what it holds.

extension VectorExamination {
    static let indexSubject = "index in pgvector"

    /// Looks at the index of a model's vectors, and makes a wrong one anew when asked to.
    ///
    /// That there is none is told where it matters, by what looks at the mirror.
    mutating func examineIndex(
        _ installation: Installation,
        _ model: EmbeddingModelTable.Row,
        _ isRepairing: Bool
    ) async throws {
        let store = installation.store
        let found = try await PassageVectorTable.examineIndex(of: model, in: store)
        index = found
        let isWanted = installation.settings.vectorBackend == .pgvector
        guard isRepairing, Self.isWrong(found), !remade.contains(model.dimension) else {
            return note(index: found, of: model, isWanted)
        }
        remade.insert(model.dimension)
        let isMade: Bool
        switch found {
        // What nobody finished need not be worthwhile.
        case .broken:
            isMade = try await VectorMirror.remakeIndex(store, dimension: model.dimension)
        case .absent, .inTheMaking, .whole:
            isMade = try await VectorMirror.remakeIndex(
                store,
                dimension: model.dimension,
                from: 0
            )
        }
        let left = try await PassageVectorTable.examineIndex(of: model, in: store)
        index = left
        guard !Self.isWrong(left), isMade || left == .absent else {
            return note(index: left, of: model, isWanted)
        }
        let mended =
            isMade ? "made anew, \(Self.text(left))" : "removed; searches compare row by row"
        note(
            Finding(
                subject: Self.indexSubject,
                grade: .good,
                detail: "\(Self.name(model)) \(Self.text(found)): \(mended)"
            )
        )
    }

    private mutating func note(
        index found: PassageVectorTable.IndexState,
        of model: EmbeddingModelTable.Row,
        _ isWanted: Bool
    ) {
        guard found != .absent else { return }
        let isWrong = Self.isWrong(found)
        // One that is not whole is not asked; what it would find, nobody misses.
        let isHarmful = isWrong && isWanted && found != .broken
        note(
            Finding(
                subject: Self.indexSubject,
                grade: isHarmful ? .broken : isWrong ? .doubtful : .good,
                detail: "\(Self.name(model)) \(Self.text(found))",
                advice: isWrong ? Self.repair : nil
            )
        )
    }

    private static func isWrong(_ found: PassageVectorTable.IndexState) -> Bool {
        switch found {
        case .absent, .inTheMaking: false
        case .broken: true
        case .whole: !found.findsEnough
        }
    }

    private static func name(_ model: EmbeddingModelTable.Row) -> String {
        "that of vectors of \(model.dimension) numbers"
    }

    private static func text(_ found: PassageVectorTable.IndexState) -> String {
        switch found {
        case .absent: "is not there"
        case .inTheMaking: "is being made"
        case .broken: "is not whole: its making was broken off"
        case .whole(asked: 0, found: _): "is whole"
        case .whole(let asked, let found): "is whole and finds \(found) of \(asked) windows"
        }
    }

    static func json(_ found: PassageVectorTable.IndexState) -> JSONValue {
        let name: String
        var (asked, hits) = (0, 0)
        switch found {
        case .absent: return .null
        case .inTheMaking: name = "in the making"
        case .broken: name = "broken"
        case .whole(let total, let count):
            name = "whole"
            (asked, hits) = (total, count)
        }
        return [
            "state": .string(name), "asked": .integer(Int64(asked)),
            "found": .integer(Int64(hits)),
        ]
    }
}
