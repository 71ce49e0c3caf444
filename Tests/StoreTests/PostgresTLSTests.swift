import Domain
import Foundation
import StoreTestSupport
import Testing

@testable import Store

/// Who is let in and who is not when the way to the server is encrypted.
///
/// The server of the tests was built without TLS; a door before it speaks it, as a server does.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct PostgresTLSTests {
    private struct Failure: Error { var text: String }

    /// A door to the database's server, with a certificate for `localhost` or without TLS.
    private struct Door {
        let database: ScratchDatabase
        private let process = Process()
        private(set) var port = ""

        init(to database: ScratchDatabase, speaksTLS: Bool) async throws {
            self.database = database
            let folder = database.directory
            let portFile = folder.path("port")
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["python3", Self.script, try Self.socket(of: database), portFile]
            if speaksTLS {
                for name in ["server", "stranger"] {
                    try await PostgresTLSTests.certify(name, in: folder)
                }
                process.arguments? += [folder.path("server.crt"), folder.path("server.key")]
            }
            // It ends with its input.
            process.standardInput = Pipe()
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            for _ in 0..<1_500 where port.isEmpty {
                try await Task.sleep(for: .milliseconds(20))
                // It is not there before the door is open.
                port = (try? String(contentsOfFile: portFile, encoding: .utf8)) ?? ""
            }
            guard !port.isEmpty else { throw Failure(text: "the door did not open") }
        }

        func close() { process.terminate() }

        /// The database by way of the door, with more for libpq to heed.
        func connect(host: String = "localhost", _ parameters: String) throws -> PostgresDatabase {
            let items = database.address.split(separator: "?").last?.split(separator: "&") ?? []
            guard let place = items.first(where: { $0.hasPrefix("host=/") })
            else { throw Failure(text: "the server has no socket") }
            let way = "host=\(host)&hostaddr=127.0.0.1&port=\(port)&gssencmode=disable"
            let address = database.address.replacing(place, with: "\(way)&\(parameters)")
            return PostgresDatabase(PostgresConfiguration(address: Secret(address)))
        }

        private static func socket(of database: ScratchDatabase) throws -> String {
            let items = database.address.split(separator: "?").last?.split(separator: "&") ?? []
            guard let place = items.first(where: { $0.hasPrefix("host=/") })
            else { throw Failure(text: "the server has no socket") }
            return "\(place.dropFirst(5))/.s.PGSQL.5432"
        }

        private static let script = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Support/Python/postgres_tls.py").path
    }

    /// A certificate for `localhost` that vouches for itself.
    private static func certify(_ name: String, in folder: ScratchDirectory) async throws {
        let words = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost", "-keyout", folder.path("\(name).key"),
            "-out", folder.path("\(name).crt"),
        ]
        // On a thread of its own: waiting blocks.
        let status: Result<Int32, any Error> = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    returning: Result {
                        let process = Process()
                        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
                        process.arguments = words
                        process.standardError = FileHandle.nullDevice
                        try process.run()
                        process.waitUntilExit()
                        return process.terminationStatus
                    }
                )
            }
        }
        guard try status.get() == 0 else { throw Failure(text: "openssl failed") }
    }

    /// Why a database is not reached, without being asked again.
    private func refusal(of database: PostgresDatabase) async throws -> String {
        let error = await #expect(throws: StoreError.self) {
            try await database.read { try $0.rows("SELECT 1 AS n") }
        }
        try await database.close()
        guard case .unavailable(let detail)? = error else {
            throw Failure(text: "unexpected \(String(describing: error))")
        }
        return detail
    }

    @Test func `a server is let in whose certificate is verified`() async throws {
        let scratch = try await Engine.postgres.store()
        let door = try await Door(to: scratch.database, speaksTLS: true)
        defer { door.close() }
        let root = scratch.directory.path("server.crt")
        let database = try door.connect("sslmode=verify-full&sslrootcert=\(root)")
        // More than one record of TLS each way.
        let text = String(repeating: "x", count: 200_000)
        let answer = try await database.read { connection in
            try connection.rows("SELECT \(text) AS text").first?.text("text")
        }
        #expect(answer == text)
        try await database.close()
    }

    @Test func `a server is refused that is not who its address says`() async throws {
        let scratch = try await Engine.postgres.store()
        let door = try await Door(to: scratch.database, speaksTLS: true)
        defer { door.close() }
        let verify = "sslmode=verify-full&sslrootcert="
        let (root, stranger) = (
            scratch.directory.path("server.crt"), scratch.directory.path("stranger.crt")
        )
        let stranged = try await refusal(of: door.connect(verify + stranger))
        #expect(stranged.contains("certificate verify failed"), "\(stranged)")
        let misnamed = try await refusal(of: door.connect(host: "elsewhere", verify + root))
        #expect(misnamed.contains("does not match host name"), "\(misnamed)")
        let missing = try await refusal(of: door.connect(verify + root + ".missing"))
        #expect(missing.contains("does not exist"), "\(missing)")
    }

    @Test func `who wants encryption is not let in without it`() async throws {
        let scratch = try await Engine.postgres.store()
        let door = try await Door(to: scratch.database, speaksTLS: false)
        defer { door.close() }
        let refused = try await refusal(of: door.connect("sslmode=require"))
        #expect(refused.contains("does not support SSL"), "\(refused)")
        // The door itself is open.
        let database = try door.connect("sslmode=disable")
        let number = try await database.read { connection in
            try connection.rows("SELECT 5 AS n").first?.integer("n")
        }
        #expect(number == 5)
        try await database.close()
    }

    // MARK: The watch over a connection

    /// The door alone is reached over TCP.
    @Test func `what the operator leaves open of the watch over a connection is set`()
        async throws
    {
        let scratch = try await Engine.postgres.store()
        let door = try await Door(to: scratch.database, speaksTLS: false)
        defer { door.close() }
        let watched = try door.connect("sslmode=disable&keepalives_idle=77")
        let first = try PostgresHandle(watched.configuration, interrupt: nil)
        var socket = first.descriptor
        #expect(try setting(TCP_KEEPIDLE, of: socket) == 77)
        #expect(try setting(TCP_KEEPINTVL, of: socket) == 10)
        #expect(try setting(TCP_KEEPCNT, of: socket) == 3)
        #expect(try setting(TCP_USER_TIMEOUT, of: socket) == 60_000)
        let unwatched = try door.connect("sslmode=disable&keepalives=0")
        let second = try PostgresHandle(unwatched.configuration, interrupt: nil)
        socket = second.descriptor
        #expect(try setting(TCP_USER_TIMEOUT, of: socket) == 0)
        // Both have been open until here.
        let broken = [first.isBroken, second.isBroken]
        #expect(broken == [false, false])
    }

    private func setting(_ number: Int32, of socket: Int32) throws -> Int32 {
        var value: Int32 = -1
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(socket, Int32(IPPROTO_TCP), number, &value, &size) == 0
        else { throw Failure(text: "no such setting") }
        return value
    }
}
