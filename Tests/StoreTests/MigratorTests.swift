import Domain
import StoreTestSupport
import Testing

@testable import Store

struct MigratorTests {
    private static let steps = (1...3).map { number in
        Migration(
            number: number,
            name: "step \(number)",
            statements: ["CREATE TABLE step\(number) (id BIGINT NOT NULL PRIMARY KEY)"]
        )
    }

    @Test(arguments: Engine.all) func `missing steps are applied once`(engine: Engine) async throws
    {
        let scratch = try engine.database()
        let database = try scratch.connect()
        try await Migrator(migrations: Array(Self.steps.prefix(1))).migrate(database)
        try await Migrator(migrations: Self.steps).migrate(database)
        try await Migrator(migrations: Self.steps).migrate(database)
        let current = try await database.read { try SchemaTable.current(on: $0) }
        #expect(current == 3)
    }

    @Test(arguments: Engine.all) func `a database from a newer version is refused untouched`(
        engine: Engine
    ) async throws {
        let scratch = try engine.database()
        let database = try scratch.connect()
        try await Migrator(migrations: Self.steps).migrate(database)
        await #expect(throws: StoreError.newerSchema(found: 3, supported: 2)) {
            try await Migrator(migrations: Array(Self.steps.prefix(2))).migrate(database)
        }
        let current = try await database.read { try SchemaTable.current(on: $0) }
        #expect(current == 3)
    }

    @Test(arguments: Engine.all) func `a step that fails half-way leaves nothing of itself`(
        engine: Engine
    ) async throws {
        let scratch = try engine.database()
        let database = try scratch.connect()
        let broken = Migration(
            number: 2,
            name: "broken",
            statements: ["CREATE TABLE half (id BIGINT)", "CREATE TABLE half (id BIGINT)"]
        )
        await #expect(throws: StoreError.self) {
            try await Migrator(migrations: [Self.steps[0], broken]).migrate(database)
        }
        let current = try await database.read { try SchemaTable.current(on: $0) }
        #expect(current == 1)
        // The table of the broken step is not in the way of the repaired one.
        let repaired = Migration(
            number: 2,
            name: "repaired",
            statements: ["CREATE TABLE half (id BIGINT)"]
        )
        try await Migrator(migrations: [Self.steps[0], repaired]).migrate(database)
    }

    @Test(arguments: Engine.all) func `processes that start together migrate once`(engine: Engine)
        async throws
    {
        let scratch = try engine.database()
        try await withThrowingTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    let store = try await Store.open(scratch.connect())
                    try await store.database.close()
                }
            }
            try await group.waitForAll()
        }
        let database = try scratch.connect()
        let current = try await database.read { try SchemaTable.current(on: $0) }
        #expect(current == Migration.all.count)
    }
}
