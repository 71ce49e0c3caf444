import Domain
import StoreTestSupport
import Synchronization
import Testing

@testable import Store

/// What is said to somebody whom a PostgreSQL server does not let in.
struct PostgresRefusalTests {
    @Test(arguments: [
        ("FATAL:  database \"preloop\" does not exist", "createdb"),
        ("FATAL:  role \"ann\" does not exist", "createuser"),
        ("FATAL:  password authentication failed for user \"ann\"", "PGPASSWORD"),
        ("fe_sendauth: no password supplied", "PGPASSWORD"),
        ("FATAL:  Peer authentication failed for user \"ann\"", "@localhost/"),
        ("FATAL:  no pg_hba.conf entry for host \"10.0.0.1\", user \"ann\"", "administrator"),
        ("server does not support SSL, but SSL was required", "sslmode=prefer"),
        ("FATAL:  pg_hba.conf rejects connection for host \"::1\", no encryption", "sslmode"),
        ("FATAL:  permission denied for database \"preloop\"", "GRANT CONNECT"),
        ("FATAL:  role \"ann\" is not permitted to log in", "LOGIN"),
        ("`DATABASE_URL` is not understood", "%40"),
    ])
    func `a refused connection says what mends it`(message: String, word: String) {
        let place = "connection to server at \"127.0.0.1\", port 5432 failed: "
        let error = PostgresFailure(state: "28000", message: place + message).storeError()
        #expect(error.hint?.contains(word) == true, "\(error.hint ?? "none")")
    }

    @Test(arguments: [
        ("42P01", "relation \"issues\" does not exist"),
        ("42883", "function f(integer) does not exist"),
        ("28000", "root certificate file \"/etc/root.crt\" does not exist"),
    ])
    func `what else is missing gets no advice about roles and databases`(
        state: String,
        message: String
    ) {
        #expect(PostgresFailure(state: state, message: message).storeError().hint == nil)
    }

    @Test(arguments: [
        ("refused\n\tIs the server running?\n", "refused; Is the server running?"),
        ("one\ntwo\n", "one; two"),
        ("The end.\nNext:\n\tthird", "The end. Next: third"),
        ("\n", "the connection to the database was lost"),
        ("with TLS failed\nwithout failed\nwith TLS failed\n", "with TLS failed; without failed"),
    ])
    func `lines of libpq are parted`(text: String, line: String) {
        #expect(PostgresFailure.line(of: text) == line)
    }

    /// They counted as a server that does not answer, which is asked again and again.
    @Test(
        .enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"),
        arguments: [
            "sslmode=nonsense", "target_session_attrs=nonsense", "connect_timeout=soon",
            "service=preloop_nowhere", "options=-cpreloop_nonsense%3D1", "port=99999",
        ]
    )
    func `a setting that is wrong is no server that does not answer`(setting: String) async throws {
        let scratch = try Engine.postgres.database()
        let address = "\(scratch.address)&\(setting)"
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(address)))
        let error = await #expect(throws: StoreError.self) {
            try await database.read { try $0.rows("SELECT 1 AS n") }
        }
        try await database.close()
        guard case .unavailable? = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
    }

    /// The words are the server's: another version may say it in others.
    @Test(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
    func `a server's own refusals are known`() async throws {
        let scratch = try Engine.postgres.database()
        // The last of two parameters counts.
        for (parameter, word) in [("dbname", "createdb"), ("user", "createuser")] {
            let address = "\(scratch.address)&\(parameter)=preloop_nowhere"
            let database = PostgresDatabase(PostgresConfiguration(address: Secret(address)))
            let error = await #expect(throws: StoreError.self) {
                try await database.read { try $0.rows("SELECT 1 AS n") }
            }
            try await database.close()
            #expect(error?.hint?.contains(word) == true, "\(String(describing: error))")
        }
    }

    @Test(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
    func `who may make no tables is told of the database's owner`() async throws {
        let scratch = try Engine.postgres.database()
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(scratch.address)))
        let error = await #expect(throws: StoreError.self) {
            try await database.write { connection in
                // The role goes with the transaction.
                try connection.execute(batch: [
                    "CREATE ROLE preloop_stranger", "SET LOCAL ROLE preloop_stranger",
                    "CREATE TABLE public.things (id INTEGER)",
                ])
            }
        }
        try await database.close()
        #expect(error?.hint?.contains("OWNER TO") == true, "\(String(describing: error))")
    }

    /// To whom they are not shown the database looked empty, and `preloop init` was recommended.
    @Test(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
    func `tables of another role are there, and their owner is asked for`() async throws {
        let scratch = try await Engine.postgres.store()
        let isThere = Mutex(false)
        let error = await #expect(throws: StoreError.self) {
            try await scratch.store.database.write { connection in
                // The role goes with the transaction.
                try connection.execute(batch: [
                    "CREATE ROLE preloop_guest",
                    """
                    DO $$ BEGIN
                        EXECUTE format(
                            'GRANT USAGE ON SCHEMA %I TO preloop_guest', current_schema()
                        );
                    END $$
                    """,
                    "SET LOCAL ROLE preloop_guest",
                ])
                let found = try SchemaTable.exists(on: connection)
                isThere.withLock { $0 = found }
                _ = try connection.rows("SELECT id FROM accounts")
            }
        }
        #expect(isThere.withLock { $0 })
        #expect(error?.hint?.contains("another role's") == true, "\(String(describing: error))")
    }
}
