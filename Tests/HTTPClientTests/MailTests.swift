import Foundation
import Synchronization
import TestSupport
import Testing

@testable import HTTPClient

@Suite struct MailTests {
    /// A mail server that takes one message, or says no at a step.
    private final class FakeMailServer: Sendable {
        let port: Int
        private let lines = Mutex<[String]>([])
        private let listener: Int32
        private let refusal: (prefix: String, answer: String)?

        init(refusing refusal: (prefix: String, answer: String)? = nil) throws {
            let (listener, port) = try LoopbackSocket.listen(backlog: 4)
            self.listener = listener
            self.port = Int(port)
            self.refusal = refusal
            Thread.detachNewThread { [self] in
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                serve(connection)
                close(connection)
            }
        }

        deinit { close(listener) }

        /// What the client said.
        var said: [String] { lines.withLock { $0 } }

        private func serve(_ connection: Int32) {
            func answer(_ text: String) {
                _ = LoopbackSocket.send(Array("\(text)\r\n".utf8), to: connection)
            }
            answer("220 fake ready")
            var isData = false
            while let line = readLine(connection) {
                lines.withLock { $0.append(line) }
                if isData {
                    guard line == "." else { continue }
                    isData = false
                    answer("250 taken")
                    continue
                }
                if let refusal, line.hasPrefix(refusal.prefix) {
                    answer(refusal.answer)
                    continue
                }
                switch line.prefix(4) {
                case "EHLO": answer("250-fake\r\n250 8BITMIME")
                case "DATA":
                    isData = true
                    answer("354 go on")
                case "QUIT":
                    answer("221 bye")
                    return
                default: answer("250 ok")
                }
            }
        }

        private func readLine(_ connection: Int32) -> String? {
            var bytes: [UInt8] = []
            var byte: UInt8 = 0
            while recv(connection, &byte, 1, 0) == 1 {
                if byte == UInt8(ascii: "\n") {
                    if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
                    return String(decoding: bytes, as: UTF8.self)
                }
                bytes.append(byte)
            }
            return nil
        }
    }

    private func mailer(
        _ port: Int,
        _ security: CurlMailer.Security = .none
    ) -> CurlMailer {
        CurlMailer(
            .init(host: "127.0.0.1", port: port, security: security, sender: "bot@example.com"),
            now: { 97_445_000 }
        )
    }

    private let message = MailMessage(
        to: ["ann@example.com", "bob@example.com"],
        subject: "Genehmigung nötig\r\nBcc: eve@example.com",
        text: "first\n.\nlast ✓"
    )

    @Test func `a message arrives whole, at each address`() async throws {
        let server = try FakeMailServer()
        try await mailer(server.port).send(message)
        let said = server.said
        #expect(said.contains("MAIL FROM:<bot@example.com>"))
        #expect(said.contains("RCPT TO:<ann@example.com>"))
        #expect(said.contains("RCPT TO:<bob@example.com>"))
        #expect(said.contains("Date: Fri, 02 Jan 1970 03:04:05 +0000"))
        // What is in the subject cannot end the header.
        #expect(!said.contains { $0.hasPrefix("Bcc:") })
        let start = try #require(said.firstIndex(of: ""))
        let end = try #require(said.lastIndex(of: "."))
        let content = try #require(Data(base64Encoded: said[(start + 1)..<end].joined()))
        #expect(String(decoding: content, as: UTF8.self) == "first\r\n.\r\nlast ✓")
    }

    @Test func `a refusal for good is told from one for now`() async throws {
        let gone = try FakeMailServer(refusing: ("RCPT", "550 no such user"))
        await #expect(throws: MailError.refused(host: "127.0.0.1", status: 550)) {
            try await mailer(gone.port).send(message)
        }
        let busy = try FakeMailServer(refusing: ("MAIL", "451 later"))
        do throws(MailError) {
            try await mailer(busy.port).send(message)
            Issue.record("sent")
        } catch {
            #expect(error.isRetryable, "\(error)")
        }
        let port = Int(try LoopbackSocket.closedPort())
        do throws(MailError) {
            try await mailer(port).send(message)
            Issue.record("sent")
        } catch {
            #expect(error.isRetryable, "\(error)")
        }
    }

    @Test func `a server without TLS gets nothing where TLS is asked for`() async throws {
        let server = try FakeMailServer()
        do throws(MailError) {
            try await mailer(server.port, .startTLS).send(message)
            Issue.record("sent")
        } catch {
            guard case .insecure = error else {
                Issue.record("\(error)")
                return
            }
        }
        #expect(!server.said.contains { $0.hasPrefix("MAIL") })
    }

    @Test(arguments: [
        "", "ann", "@example.com", "ann@", "ann@b@c", "ann <a@b.c>", "a@b.c\r\nRCPT TO:<x@y.z>",
        "a b@c.d", "ä@b.c",
    ])
    func `what is no address is not handed to a server`(address: String) async throws {
        await #expect(throws: MailError.invalidAddress(address)) {
            try await mailer(1).send(MailMessage(to: [address], subject: "s", text: "t"))
        }
    }

    @Test func `headers are cut at characters, and dates are those of mail`() {
        let long = String(repeating: "ü", count: 100)
        let bytes = MailMessage(to: ["a@b.c"], subject: long, text: "")
            .bytes(from: "x@y.z", name: "P", identifier: "1", at: 0)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.split(separator: "\r\n").allSatisfy { $0.utf8.count <= 76 })
        #expect(MailMessage.date(1_700_000_000_000) == "Tue, 14 Nov 2023 22:13:20 +0000")
        #expect(MailMessage.date(951_782_400_000) == "Tue, 29 Feb 2000 00:00:00 +0000")
    }
}
