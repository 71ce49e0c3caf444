import Domain
import Foundation
import StoreTestSupport
import TestSupport
import Testing

@testable import API
@testable import Gateway

/// The server with a certificate, as curl and openssl see it.
@Suite struct TLSTests {
    private struct Certificate {
        let folder: URL

        var certificate: String { folder.appendingPathComponent("certificate.pem").path }
        var key: String { folder.appendingPathComponent("key.pem").path }

        init() async throws {
            folder = FileManager.default.temporaryDirectory
                .appendingPathComponent("preloop-tls-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            _ = try await TLSTests.run(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout",
                key,
                "-out",
                certificate
            )
        }

        func remove() { try? FileManager.default.removeItem(at: folder) }
    }

    private struct Failure: Error { var text: String }

    /// Runs a program on a thread of its own: the server needs those of the tests.
    private static func run(_ words: String...) async throws -> String {
        try await run(words)
    }

    private static func run(_ words: [String]) async throws -> String {
        let result: Result<String, any Error> = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(returning: Result { try finished(words) })
            }
        }
        return try result.get()
    }

    private static func finished(_ words: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // What goes to standard error is some lines, which a pipe holds.
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let reason = errors.fileHandleForReading.readDataToEndOfFile()
            throw Failure(text: String(decoding: reason, as: UTF8.self))
        }
        return String(decoding: text, as: UTF8.self)
    }

    private func withServer(
        idleTime: Duration? = nil,
        tools: [any Tool] = [EchoTool()],
        _ body: (RunningServer, String, Certificate) async throws -> Void
    ) async throws {
        let certificate = try await Certificate()
        defer { certificate.remove() }
        var setup = RunningServer.Setup()
        setup.tools = tools
        if let idleTime {
            setup.limits.idleTime = idleTime
        } else {
            setup.limits.headTime = .seconds(2)
        }
        setup.identity = try TLSIdentity(
            certificateFile: certificate.certificate,
            keyFile: certificate.key
        )
        let server = try await RunningServer(setup)
        try await body(server, "https://localhost:\(server.port)", certificate)
        try await server.stop()
    }

    @Test func `clients that can speak HTTP 2, others HTTP 1`() async throws {
        try await withServer { server, origin, certificate in
            let format = "%{http_version} %{http_code}\n"
            for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
                // Several requests of one connection, side by side where that is possible.
                let seen = try await Self.run(
                    "curl",
                    "-sS",
                    option,
                    "--cacert",
                    certificate.certificate,
                    "-Z",
                    "-o",
                    "/dev/null",
                    "-o",
                    "/dev/null",
                    "-o",
                    "/dev/null",
                    "-w",
                    format,
                    "\(origin)/healthz",
                    "\(origin)/readyz",
                    "\(origin)/openapi.json"
                )
                #expect(seen == String(repeating: "\(version) 200\n", count: 3))
            }
            await #expect(throws: Failure.self) {
                try await Self.run("curl", "-sS", "\(origin)/healthz")
            }
        }
    }

    @Test func `bodies, refusals and streams go over HTTP 2`() async throws {
        try await withServer { server, origin, certificate in
            _ = try await server.add("ann", .editor)
            let key = try await server.key("ann")
            func post(
                _ path: String,
                _ body: String,
                _ more: [String] = []
            ) async throws -> String {
                let file = certificate.folder.appendingPathComponent("body")
                try Data(body.utf8).write(to: file)
                var words = ["curl", "-sS", "--http2", "--cacert", certificate.certificate]
                words += ["-H", "Authorization: Bearer \(key)", "-H"]
                words += ["Content-Type: application/json", "-w", "\n%{http_version} %{http_code}"]
                words += ["--data-binary", "@\(file.path)"] + more + ["\(origin)\(path)"]
                return try await Self.run(words)
            }
            let echo = try await post("/api/v1/mcp/echo", #"{"text": "hello"}"#)
            #expect(echo.contains(#""said":"hello""#) && echo.hasSuffix("2 200"), "\(echo)")
            // 100 kB come in several frames and several windows.
            let long = String(repeating: "x", count: 100_000)
            let answer = try await post("/api/v1/mcp/echo", #"{"text": "\#(long)", "times": 10}"#)
            #expect(answer.utf8.count > 1_000_000 && answer.hasSuffix("2 200"))
            let large = try await post(
                "/api/v1/auth/logout",
                String(repeating: " ", count: 100_000)
            )
            #expect(large.hasSuffix("2 413"), "\(large.suffix(300))")
            let message = ModernRequest.call("echo", ["text": "over MCP"]).serializedText()
            let headers = ModernRequest.headers("tools/call", "echo").flatMap { name, value in
                name == "Content-Type" ? [] : ["-H", "\(name): \(value)"]
            }
            let call = try await post("/mcp/v1", message, headers)
            #expect(call.contains("over MCP") && call.hasSuffix("2 200"), "\(call)")
            #expect(server.application.connections.counts.accepted >= 4)
        }
    }

    /// It was 0, which a cache takes for the length of the document that it has.
    @Test func `an answer that spares the transfer tells no length over HTTP 2`() async throws {
        try await withServer { server, origin, certificate in
            let issue = try await World(in: server.scratch.store).issues[0]
            _ = try await server.add("ann", .viewer)
            let key = try await server.key("ann")
            let words = [
                "curl", "-sS", "--http2", "--cacert", certificate.certificate, "-D", "-", "-o",
                "/dev/null", "-H", "Authorization: Bearer \(key)",
                "\(origin)/api/v1/issues/\(issue)",
            ]
            let first = try await Self.run(words)
            let lines = first.split(whereSeparator: \.isNewline)
            let tag = try #require(lines.first { $0.hasPrefix("etag: ") }).dropFirst(6)
            #expect(lines.contains { $0.hasPrefix("content-length: ") }, "\(first)")
            let again = try await Self.run(words + ["-H", "If-None-Match: \(tag)"])
            #expect(again.hasPrefix("HTTP/2 304") && !again.contains("content-length"), "\(again)")
        }
    }

    @Test func `who never ends the handshake is closed`() async throws {
        try await withServer { server, _, _ in
            let client = try RawClient(port: server.port)
            // The head of a TLS record, and nothing of what it promises.
            _ = client.send("\u{16}\u{3}\u{1}\u{2}\u{0}")
            let connections = server.application.connections
            let end = ContinuousClock.now + .seconds(60)
            while connections.counts.accepted == 0 || connections.counts.open > 0 {
                try #require(ContinuousClock.now < end)
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(await client.isClosed())
            #expect(connections.counts.overdue == 1)
        }
    }

    /// A frame (RFC 9113, section 4.1) of a stream.
    private static func frame(
        _ type: UInt8,
        flags: UInt8 = 0,
        stream: UInt8,
        _ payload: [UInt8]
    ) -> [UInt8] {
        let length = [16, 8, 0].map { UInt8(payload.count >> $0 & 0xFF) }
        return length + [type, flags, 0, 0, 0, stream] + payload
    }

    /// A field spelled out (RFC 7541, section 6.2.2); name and value have less than 127 bytes.
    private static func field(_ name: String, _ value: String) -> [UInt8] {
        var bytes: [UInt8] = [0, UInt8(name.utf8.count)]
        bytes += Array(name.lowercased().utf8)
        bytes.append(UInt8(value.utf8.count))
        return bytes + Array(value.utf8)
    }

    /// What opens a connection: the preface, and SETTINGS that set nothing.
    private static var opening: [UInt8] {
        Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, stream: 0, [])
    }

    /// The head of a request with `POST`, whose body is to come.
    private static func head(
        _ path: String,
        stream: UInt8,
        _ headers: [(String, String)]
    ) -> [UInt8] {
        // Method POST and scheme https by their numbers.
        var block: [UInt8] = [0x83, 0x87]
        block += field(":path", path) + field(":authority", "localhost")
        for header in headers { block += field(header.0, header.1) }
        // HEADERS that end the headers.
        return frame(1, flags: 4, stream: stream, block)
    }

    /// The body of a request: DATA that ends it.
    private static func body(_ bytes: [UInt8], stream: UInt8) -> [UInt8] {
        frame(0, flags: 1, stream: stream, bytes)
    }

    /// RST_STREAM with CANCEL.
    private static func reset(stream: UInt8) -> [UInt8] {
        frame(3, stream: stream, [0, 0, 0, 8])
    }

    /// A call of `wait` as stream 1 of a connection.
    private static func waitingCall(_ key: String) -> [UInt8] {
        let headers =
            [("authorization", "Bearer \(key)")] + ModernRequest.headers("tools/call", "wait")
        let message = ModernRequest.call("wait", [:], meta: ["progressToken": "p"]).serialized()
        return opening + head("/mcp/v1", stream: 1, headers) + body(message, stream: 1)
    }

    /// A client that sends what is written to `input`, which has to stay open.
    private static func client(
        of server: RunningServer,
        _ input: Pipe,
        _ output: Any
    ) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl", "s_client", "-quiet", "-alpn", "h2", "-connect"]
        process.arguments?.append("127.0.0.1:\(server.port)")
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// How many HEADERS of a stream are there among whole frames.
    private static func headCount(of stream: UInt8, in bytes: [UInt8]) -> Int {
        var (place, count) = (0, 0)
        while place + 9 <= bytes.count {
            let length = bytes[place..<place + 3].reduce(0) { $0 << 8 | Int($1) }
            if bytes[place + 3] == 1, bytes[place + 8] == stream { count += 1 }
            place += 9 + length
        }
        return count
    }

    /// Reads on until it is enough, or the connection is closed.
    private static func read(
        _ output: Pipe,
        after known: [UInt8],
        until isEnough: @escaping @Sendable ([UInt8]) -> Bool
    ) async -> [UInt8] {
        let descriptor = output.fileHandleForReading.fileDescriptor
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var received = known
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while !isEnough(received) {
                    let count = Glibc.read(descriptor, &buffer, buffer.count)
                    guard count > 0 else { break }
                    received += buffer.prefix(count)
                }
                continuation.resume(returning: received)
            }
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `a client of HTTP 2 cancels by resetting the stream`() async throws {
        let tool = WaitingTool()
        try await withServer(idleTime: .seconds(600), tools: [tool]) { server, _, _ in
            _ = try await server.add("ann", .editor)
            let call = Self.waitingCall(try await server.key("ann"))
            let input = Pipe()
            let process = try Self.client(of: server, input, FileHandle.nullDevice)
            defer { if process.isRunning { process.terminate() } }
            let writer = input.fileHandleForWriting
            try writer.write(contentsOf: Data(call))
            try await tool.started.pass()
            try #require(process.isRunning)
            // The connection stays.
            try writer.write(contentsOf: Data(Self.reset(stream: 1)))
            let end = ContinuousClock.now + .seconds(60)
            while tool.wasCancelled.value == 0 {
                try #require(ContinuousClock.now < end)
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(process.isRunning)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `a stream that is reset leaves the queue of those who sign in`() async throws {
        try await withServer(idleTime: .seconds(600)) { server, _, _ in
            let gate = server.application.desk.hasher.gate
            let taken = try await TakenPlaces(of: gate)
            let input = Pipe()
            let process = try Self.client(of: server, input, FileHandle.nullDevice)
            defer { if process.isRunning { process.terminate() } }
            let writer = input.fileHandleForWriting
            let headers = [("content-type", "application/json")]
            let person = Array(#"{"username": "ann", "password": "a good password"}"#.utf8)
            let request =
                Self.head("/api/v1/auth/token/json", stream: 1, headers)
                + Self.body(person, stream: 1)
            try writer.write(contentsOf: Data(Self.opening + request))
            while gate.waitingCount < 1 { try await Task.sleep(for: .milliseconds(5)) }
            try writer.write(contentsOf: Data(Self.reset(stream: 1)))
            while gate.waitingCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(process.isRunning)
            try await taken.giveBack()
        }
    }

    /// A refusal ends the stream alone: what comes in the place of its body is nobody else's.
    @Test(.timeLimit(.minutes(5)))
    func `who asks over HTTP 2 before sending a body is told to when its head is in order`()
        async throws
    {
        try await withServer(idleTime: .seconds(600)) { server, _, _ in
            let (input, output) = (Pipe(), Pipe())
            let process = try Self.client(of: server, input, output)
            defer { if process.isRunning { process.terminate() } }
            let writer = input.fileHandleForWriting
            let person = Array(#"{"username": "ann", "password": "a good password"}"#.utf8)
            func ask(stream: UInt8, _ length: Int) -> [UInt8] {
                let headers = [
                    ("content-type", "application/json"), ("expect", "100-continue"),
                    ("content-length", "\(length)"),
                ]
                return Self.head("/api/v1/auth/token/json", stream: stream, headers)
            }
            @Sendable func says(_ bytes: [UInt8], _ status: Int) -> Bool {
                String(decoding: bytes, as: UTF8.self).contains("\"status\":\(status)")
            }
            try writer.write(contentsOf: Data(Self.opening + ask(stream: 1, 100_000)))
            var seen = await Self.read(output, after: []) { says($0, 413) }
            #expect(says(seen, 413) && Self.headCount(of: 1, in: seen) == 1)
            try writer.write(contentsOf: Data(ask(stream: 3, person.count)))
            seen = await Self.read(output, after: seen) { Self.headCount(of: 3, in: $0) > 0 }
            // Nothing but to go on.
            #expect(Self.headCount(of: 3, in: seen) == 1 && !says(seen, 401))
            try writer.write(contentsOf: Data(Self.body(person, stream: 3)))
            seen = await Self.read(output, after: seen) { says($0, 401) }
            #expect(says(seen, 401) && Self.headCount(of: 3, in: seen) == 2)
        }
    }

    /// `GET /healthz` as the only request of an HTTP/2 connection (RFC 9113, RFC 7541).
    private static var request: [UInt8] {
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
        // Method GET and scheme https by their numbers, then path and authority spelled out.
        let (path, authority) = (Array("/healthz".utf8), Array("localhost".utf8))
        var block: [UInt8] = [0x82, 0x87, 0x04, UInt8(path.count)] + path
        block += [0x01, UInt8(authority.count)] + authority
        // HEADERS of stream 1, which ends the stream and its headers.
        let headers: [UInt8] = [0, 0, UInt8(block.count), 1, 5, 0, 0, 0, 1]
        return preface + settings + headers + block
    }

    @Test func `an HTTP 2 connection is closed when its last stream is long gone`() async throws {
        try await withServer(idleTime: .seconds(1)) { server, _, _ in
            let (input, output) = (Pipe(), Pipe())
            let process = try Self.client(of: server, input, output)
            defer { if process.isRunning { process.terminate() } }
            // Its end stays open: this client would wait for ever.
            try input.fileHandleForWriting.write(contentsOf: Data(Self.request))
            let connections = server.application.connections
            let end = ContinuousClock.now + .seconds(60)
            while connections.counts.accepted == 0 || connections.counts.open > 0 {
                try #require(ContinuousClock.now < end)
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(connections.counts.overdue >= 1)
            if process.isRunning { process.terminate() }
            let answer = output.fileHandleForReading.readDataToEndOfFile()
            #expect(String(decoding: answer, as: UTF8.self).contains("1.2.3"))
        }
    }

    @Test func `a key of another certificate is refused at the start`() async throws {
        let (one, other) = (try await Certificate(), try await Certificate())
        defer {
            one.remove()
            other.remove()
        }
        let refusal = refusal(one.certificate, other.key)
        #expect(refusal?.contains("are not of one pair") == true, "\(refusal ?? "nothing")")
    }

    /// A file that was not there was told as `failedToLoadCertificate`.
    @Test func `a file that cannot be used is named, with the reason`() async throws {
        let one = try await Certificate()
        defer { one.remove() }
        let nowhere = "`/nowhere.pem` cannot be read: No such file or directory"
        #expect(refusal("/nowhere.pem", one.key) == nowhere)
        #expect(refusal(one.certificate, "/nowhere.pem") == nowhere)
        #expect(refusal(one.key, one.key) == "`\(one.key)` holds no certificate")
        #expect(
            refusal(one.certificate, one.certificate)
                == "`\(one.certificate)` holds no private key, or one with a password"
        )
        #expect(refusal(one.certificate, one.key) == nil)
    }

    /// Why two files cannot be used; nil where they can.
    private func refusal(_ certificate: String, _ key: String) -> String? {
        do {
            _ = try TLSIdentity(certificateFile: certificate, keyFile: key)
            return nil
        } catch {
            return "\(error)"
        }
    }
}
