import Bootstrap
import Domain
import Foundation
import Search
import Store
import StoreTestSupport
import Testing

struct SettingsTests {
    @Test func `nothing set means the home directory and the local model`() throws {
        let settings = try Settings(environment: ["HOME": "/home/ann", "PRELOOP_HOME": ""])
        #expect(settings.home == "/home/ann/.preloop")
        #expect(settings.secretKey == nil)
        guard case .local(directory: nil) = settings.embedding else {
            Issue.record("not the local model")
            return
        }
    }

    @Test func `the public address and the days that calls are kept are read`() throws {
        let home = ["PRELOOP_HOME": "/srv/preloop"]
        let plain = try Settings(environment: home)
        #expect(plain.publicURL == nil && plain.callRetention == .seconds(365 * 86_400))
        let set = try Settings(
            environment: home.merging([
                "PRELOOP_URL": "https://preloop.example.com/", "PRELOOP_CALLS_KEPT_DAYS": "0",
            ]) { $1 }
        )
        #expect(set.publicURL == "https://preloop.example.com" && set.callRetention == nil)
        for wrong in [
            ["PRELOOP_URL": "preloop.example.com"], ["PRELOOP_CALLS_KEPT_DAYS": "-1"],
            ["PRELOOP_CALLS_KEPT_DAYS": "long"], ["PRELOOP_AUDIT_DAYS": "36501"],
        ] {
            #expect(throws: CommandFailure.self) {
                try Settings(environment: home.merging(wrong) { $1 })
            }
        }
    }

    @Test func `where trackers and servers may be besides the public Internet is read`() throws {
        let home = ["HOME": "/h"]
        #expect(try Settings(environment: home).allowedTrackers.isEmpty)
        for variable in ["PRELOOP_TRACKER_ALLOW", "PRELOOP_UPSTREAM_ALLOW"] {
            let set = try Settings(
                environment: home.merging([variable: "10.0.0.0/8, git.corp ,"]) { $1 }
            )
            let (trackers, servers) = (set.allowedTrackers, set.upstreams.allowed)
            let isTrackers = variable == "PRELOOP_TRACKER_ALLOW"
            #expect((isTrackers ? trackers : servers) == ["10.0.0.0/8", "git.corp"])
            #expect((isTrackers ? servers : trackers).isEmpty)
            #expect(throws: CommandFailure.self) {
                try Settings(environment: home.merging([variable: "http://git.corp"]) { $1 })
            }
        }
    }

    @Test func `what is chosen for the index in memory is read`() throws {
        let plain = try Settings(environment: ["HOME": "/h", "PRELOOP_KERNELS": "avx2"])
        #expect(plain.index.recall == 0.99 && plain.index.capacity == 16_777_216)
        #expect(plain.index.density == .standard)
        let set = try Settings(environment: [
            "HOME": "/h", "PRELOOP_RECALL": "0.95", "PRELOOP_INDEX_CAPACITY": "50000000",
            "PRELOOP_INDEX_DENSITY": "dense",
        ])
        #expect(set.index.density == .dense)
        #expect(set.index.recall == 0.95 && set.index.capacity == 50_000_000)
    }

    @Test func `a database that PG variables name is used`() throws {
        guard Engine.all.contains(.postgres) else { return }
        let address = try Engine.postgres.database().address
        let parts = try #require(URLComponents(string: address))
        let items = Dictionary(
            (parts.queryItems ?? []).map { ($0.name, $0.value ?? "") },
            uniquingKeysWith: { $1 }
        )
        let sandbox = try Sandbox([
            "DATABASE_URL": "postgresql://",
            "PGDATABASE": String(parts.path.dropFirst()),
            "PGHOST": try #require(items["host"]),
            "PGUSER": try #require(items["user"]),
            "PGOPTIONS": try #require(items["options"]),
        ])
        #expect(try sandbox.preloop("init").status == 0)
        let status = try sandbox.preloop("db", "status", "--json").json
        #expect(status["engine"] == "PostgreSQL")
        #expect(status["rows"]?["accounts"] == 1)
        // Not in a file beside.
        #expect(!FileManager.default.fileExists(atPath: sandbox.home + "/preloop.db"))
        let wrong = try sandbox.preloop(
            "db",
            "status",
            environment: ["PGDATABASE": "no_such_database"]
        )
        #expect(wrong.status != 0)
        #expect(wrong.errors.contains("no_such_database"))
    }

    /// Variables that are there for other programs must not move an installation to their server.
    @Test func `only DATABASE_URL chooses a server, and it may leave all else to PG variables`()
        throws
    {
        let variables = ["PRELOOP_HOME": "/srv/preloop", "PGHOST": "db", "PGDATABASE": "preloop"]
        #expect(try Settings(environment: variables).databaseAddress == nil)
        let chosen = try Settings(
            environment: variables.merging(["DATABASE_URL": "postgresql://"]) { $1 }
        )
        #expect(chosen.databaseAddress != nil)
    }

    @Test func `what is taken of a database's server can be set`() throws {
        let address = Secret("postgresql://h/d")
        let standard = try Settings(environment: ["HOME": "/h"]).configuration(of: address)
        #expect(standard.maximumConnections == 8)
        #expect(standard.statementTimeout == .seconds(120))
        #expect(standard.lockTimeout == .seconds(20))
        let chosen = try Settings(environment: [
            "HOME": "/h", "PRELOOP_DATABASE_CONNECTIONS": "2",
            "PRELOOP_DATABASE_STATEMENT_TIMEOUT": "600", "PRELOOP_DATABASE_LOCK_TIMEOUT": "5",
        ]).configuration(of: address)
        #expect(chosen.maximumConnections == 2)
        #expect(chosen.statementTimeout == .seconds(600))
        #expect(chosen.lockTimeout == .seconds(5))
        #expect(chosen.address.reveal() == address.reveal())
    }

    /// The target of a copy had the defaults, whatever its server could bear.
    @Test func `the target of a copy is asked for no more than the environment allows`() throws {
        let settings = try Settings(environment: [
            "HOME": "/h", "PRELOOP_DATABASE_CONNECTIONS": "2",
            "PRELOOP_DATABASE_STATEMENT_TIMEOUT": "600", "PRELOOP_DATABASE_LOCK_TIMEOUT": "5",
        ])
        // Nothing is connected before it is used.
        let target = try Installation.database(at: "postgresql://h/d", settings)
        let configuration = try #require(target as? PostgresDatabase).configuration
        #expect(configuration.maximumConnections == 2)
        #expect(configuration.statementTimeout == .seconds(600))
        #expect(configuration.lockTimeout == .seconds(5))
        #expect(configuration.address.reveal() == "postgresql://h/d")
    }

    @Test func `a provider is read with its key redacted`() throws {
        let settings = try Settings(environment: [
            "PRELOOP_HOME": "/srv/preloop/", "PRELOOP_EMBEDDING_PROVIDER": "openai",
            "PRELOOP_EMBEDDING_URL": "http://localhost:11434/v1/",
            "PRELOOP_EMBEDDING_MODEL": "all-minilm", "PRELOOP_EMBEDDING_API_KEY": "hunter2",
        ])
        #expect(settings.home == "/srv/preloop")
        guard case .remote(let model) = settings.embedding else {
            Issue.record("not a provider")
            return
        }
        #expect(model.url == "http://localhost:11434/v1")
        #expect(model.name == "all-minilm")
        #expect(model.dimension == nil)
        #expect(!model.isForRegistered)
        #expect(!"\(model)".contains("hunter2"))
    }

    @Test(arguments: [
        ["HOME": "/h", "PRELOOP_EMBEDDING_PROVIDER": "magic"],
        ["HOME": "/h", "PRELOOP_EMBEDDING_PROVIDER": "openai", "PRELOOP_EMBEDDING_DIMENSION": "0"],
        ["HOME": "/h", "PRELOOP_EMBEDDING_PROVIDER": "openai", "PRELOOP_EMBEDDING_URL": "ftp://a"],
        ["HOME": "/h", "PRELOOP_EMBEDDING_PROVIDER": "openai", "PRELOOP_EMBEDDING_URL": "host:1"],
        [
            "HOME": "/h", "PRELOOP_EMBEDDING_PROVIDER": "openai",
            "PRELOOP_EMBEDDING_REGISTERED": "true",
        ],
        ["HOME": "/h", "PRELOOP_UPSTREAM_PROGRAMS": "yes"],
        ["HOME": "/h", "SECRET_KEY": "fifteen letters"],
        ["HOME": "/h", "PRELOOP_EMBEDDING_PRECISION": "int4"],
        ["HOME": "/h", "PRELOOP_KERNELS": "AVX2"],
        ["HOME": "/h", "PRELOOP_RECALL": "1.01"],
        ["HOME": "/h", "PRELOOP_RECALL": "0.4"],
        ["HOME": "/h", "PRELOOP_RECALL": "99 %"],
        ["HOME": "/h", "PRELOOP_INDEX_DENSITY": "sparse"],
        ["HOME": "/h", "PRELOOP_INDEX_CAPACITY": "10"],
        ["HOME": "/h", "PRELOOP_INDEX_CAPACITY": "1073741825"],
        ["HOME": "/h", "PRELOOP_VECTOR_BACKEND": "disk", "DATABASE_URL": "postgresql://h/d"],
        ["HOME": "/h", "PRELOOP_VECTOR_BACKEND": "pgvector"],
        ["HOME": "/h", "PRELOOP_DATABASE_CONNECTIONS": "1"],
        ["HOME": "/h", "PRELOOP_DATABASE_STATEMENT_TIMEOUT": "0"],
        ["HOME": "/h", "PRELOOP_DATABASE_LOCK_TIMEOUT": "20 s"],
        [:],
    ])
    func `a wrong value is a usage error`(environment: [String: String]) throws {
        let error = #expect(throws: CommandFailure.self) {
            _ = try Settings(environment: environment)
        }
        #expect(error?.status == .usage)
        #expect(error?.hint != nil)
    }

    @Test func `text of a tracker cannot move the cursor of a terminal`() {
        #expect(singleLine("a\u{1B}[2Jb\nc\u{9B}d\u{202E}e") == "a [2Jb c d e")
        #expect(twoDecimals(0.125) == "0.13")
        #expect(twoDecimals(-1.5) == "-1.50")
        #expect(twoDecimals(.nan) == "-")
    }
}
