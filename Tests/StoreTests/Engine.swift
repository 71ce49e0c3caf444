import Domain
import Foundation
import Store
import Testing

/// The engines the contract suites run on.
enum Engine: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case sqlite

    var testDescription: String { rawValue }

    /// An empty migrated store that vanishes with the returned value.
    func store(clock: WallClock = .system) async throws -> ScratchStore {
        switch self {
        case .sqlite:
            let directory = try ScratchDirectory()
            let database = try SQLiteDatabase(path: directory.path("preloop.db"))
            let store = try await Store.open(database, clock: clock)
            return ScratchStore(store: store, directory: directory)
        }
    }
}

/// A store for one test.
struct ScratchStore: Sendable {
    let store: Store
    let directory: ScratchDirectory
}

/// A directory removed with its last reference.
final class ScratchDirectory: Sendable {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // A directory left behind in the temporary directory harms nobody.
        try? FileManager.default.removeItem(atPath: path)
    }

    func path(_ name: String) -> String { path + "/" + name }
}
