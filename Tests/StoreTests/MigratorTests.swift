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

    // MARK: Old programs beside new ones

    @Test(arguments: 1..<Migration.all.count)
    func `no step takes away what the version before reads or writes`(steps: Int) throws {
        let before = try SchemaCatalog(Array(Migration.all.prefix(steps)))
        let after = try SchemaCatalog(Array(Migration.all.prefix(steps + 1)))
        for table in before.tables {
            let later = try #require(after.tables.first(where: { $0.name == table.name }))
            #expect(later.key == table.key, "\(table.name)")
            for column in table.columns {
                #expect(later.columns.contains(column), "\(table.name).\(column.name)")
            }
        }
        #expect(narrowing(Migration.all[steps], before).isEmpty)
    }

    @Test(arguments: [
        "DROP TABLE old", "ALTER TABLE old DROP COLUMN id", "ALTER TABLE old RENAME TO new",
        "ALTER TABLE old RENAME COLUMN id TO number",
        "ALTER TABLE old ALTER COLUMN id TYPE TEXT",
        "ALTER TABLE old ADD COLUMN more TEXT NOT NULL",
        "CREATE UNIQUE INDEX once ON old (id)",
    ])
    func `a step that narrows the schema is found`(statement: String) throws {
        let first = Migration(
            number: 1,
            name: "first",
            statements: ["CREATE TABLE old (id BIGINT NOT NULL PRIMARY KEY)"]
        )
        let step = Migration(number: 2, name: "narrowing", statements: [statement])
        let before = try SchemaCatalog([first])
        #expect(narrowing(step, before) == [statement])
    }

    /// Statements that take something away or ask more of those who write.
    private func narrowing(_ step: Migration, _ before: SchemaCatalog) -> [String] {
        let tables = Set(before.tables.map(\.name))
        return step.statements.filter { statement in
            let words = statement.split { $0.isWhitespace || $0 == "(" }.map(String.init)
            if statement.contains(/DROP (TABLE|COLUMN|CONSTRAINT|DEFAULT|VIEW)/) { return true }
            if statement.contains(/\bRENAME\b|ALTER COLUMN|SET NOT NULL|ADD CONSTRAINT/) {
                return true
            }
            if statement.contains("ADD COLUMN"), statement.contains("NOT NULL"),
                !statement.contains("DEFAULT")
            {
                return true
            }
            // Of a table that is made by the step itself it narrows nothing.
            guard statement.contains("CREATE UNIQUE INDEX"), let on = words.firstIndex(of: "ON"),
                on + 1 < words.count
            else { return false }
            return tables.contains(words[on + 1])
        }
    }

    @Test(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
    func `a step takes as long as it needs`() async throws {
        let scratch = try Engine.postgres.database()
        let database = try scratch.connect {
            $0.statementTimeout = .milliseconds(500)
            $0.graceTime = .milliseconds(300)
            $0.reconnectTimeout = .zero
        }
        let slow = Migration(number: 1, name: "slow", statements: ["SELECT pg_sleep(2) AS slept"])
        try await Migrator(migrations: [slow]).migrate(database)
        let current = try await scratch.connect().read { try SchemaTable.current(on: $0) }
        #expect(current == 1)
    }
}
