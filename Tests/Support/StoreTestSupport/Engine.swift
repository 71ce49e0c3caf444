import Domain
import Foundation
import Testing

@testable package import Store

/// The engines the contract suites run on.
///
/// PostgreSQL is among them when `PRELOOP_TEST_DATABASE_URL` names a database to work in, which
/// `scripts/test` makes: then no suite is skipped.
package enum Engine: String, Sendable, CustomTestStringConvertible {
    case sqlite
    case postgres

    /// All that are at hand.
    package static let all: [Engine] =
        ScratchDatabase.address == nil ? [.sqlite] : [.sqlite, .postgres]

    /// The engine of tests of what is built on the store; `scripts/test` runs them on each.
    package static let current: Engine =
        ProcessInfo.processInfo.environment["PRELOOP_TEST_ENGINE"]
        .flatMap(Engine.init) ?? .sqlite

    package var testDescription: String { rawValue }

    /// An empty database without tables.
    ///
    /// On PostgreSQL it is a schema among others. `isAlone` makes it a database, for tests that
    /// build an index concurrently: that waits for every older transaction of the database, and
    /// those of other tests may be open for as long.
    package func database(isAlone: Bool = false) throws -> ScratchDatabase {
        switch self {
        case .sqlite: try ScratchDatabase.sqlite()
        case .postgres: try ScratchDatabase.postgres(isAlone: isAlone)
        }
    }

    /// An empty migrated store that vanishes with the returned value.
    package func store(
        isAlone: Bool = false,
        clock: WallClock = .system
    ) async throws -> ScratchStore {
        let scratch = try database(isAlone: isAlone)
        let store = try await Store.open(scratch.connect(), clock: clock)
        return ScratchStore(store: store, database: scratch)
    }
}

/// A store for one test.
package struct ScratchStore: Sendable {
    package let store: Store
    package let database: ScratchDatabase

    /// A directory for files beside the store.
    package var directory: ScratchDirectory { database.directory }
}

/// A database for one test: a file, a schema of the test database, or a database beside that.
package struct ScratchDatabase: Sendable {
    /// The test database; nil when there is none.
    package static let address = ProcessInfo.processInfo
        .environment["PRELOOP_TEST_DATABASE_URL"].flatMap { $0.isEmpty ? nil : $0 }

    package let engine: Engine
    /// For other files of the test; vanishes with the last reference.
    package let directory: ScratchDirectory
    /// The file's path, or the URL with the schema in it.
    package let address: String

    fileprivate static func sqlite() throws -> ScratchDatabase {
        let directory = try ScratchDirectory()
        return ScratchDatabase(
            engine: .sqlite,
            directory: directory,
            address: directory.path("preloop.db")
        )
    }

    /// A schema is made in milliseconds, a database in hundreds of them.
    ///
    /// They stay: the server is a throw-away one.
    fileprivate static func postgres(isAlone: Bool) throws -> ScratchDatabase {
        guard let shared = address else {
            throw PostgresFailure.lost("PRELOOP_TEST_DATABASE_URL is not set")
        }
        let name = UUID().uuidString.lowercased().split(separator: "-").joined()
        var base = shared + (shared.contains("?") ? "&" : "?")
        if isAlone {
            try run("CREATE DATABASE t\(name)", at: shared)
            base += "dbname=t\(name)&"
        }
        // `$user` and pg_temp aside, `public` is where extensions are.
        let address =
            base + "options=-csearch_path%3Dt\(name)%2Cpublic&application_name=t\(name)"
        let scratch = ScratchDatabase(
            engine: .postgres,
            directory: try ScratchDirectory(),
            address: address
        )
        try run("CREATE SCHEMA t\(name)", at: address)
        return scratch
    }

    private static func run(_ statement: String, at address: String) throws {
        let configuration = PostgresConfiguration(address: Secret(address))
        let connection = try PostgresConnection(configuration, usesNames: false, interrupt: nil)
        try connection.command(SQL(stringLiteral: statement))
    }

    /// Opens the database once more, as another process would.
    package func connect(
        _ change: (inout PostgresConfiguration) -> Void = { _ in }
    ) throws -> any Database {
        switch engine {
        case .sqlite: return try SQLiteDatabase(path: address)
        case .postgres:
            var configuration = PostgresConfiguration(address: Secret(address))
            // Many tests run at once, and one of them needs no more.
            configuration.maximumConnections = 4
            change(&configuration)
            return PostgresDatabase(configuration)
        }
    }

    /// The variables that make the programs use the database.
    package var environment: [String: String] {
        switch engine {
        case .sqlite: [:]
        case .postgres: ["DATABASE_URL": address]
        }
    }
}

/// A directory removed with its last reference.
package final class ScratchDirectory: Sendable {
    package let path: String

    /// Makes an empty one.
    package init() throws {
        path =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // A directory left behind in the temporary directory harms nobody.
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The path of a file in it.
    package func path(_ name: String) -> String { path + "/" + name }
}
