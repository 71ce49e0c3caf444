package import Domain
import Foundation
import Synchronization

/// The reference services (GitHub, GitLab, both Jiras in one process) on their own loopback port.
///
/// They stop when ``stop()`` is called, when the value is released, and when the test process dies.
package final class FakeTrackers: Sendable {
    /// Whether this machine has them.
    package static var areAvailable: Bool {
        SharedData.has("trackers/fake_trackers.py")
    }

    /// What the services hold.
    package enum Corpus: Sendable {
        /// `corpus-NAME.jsonl` of the shared data: `edge`, `bips`, `bitcoin`, `f2etw`, `jira`.
        case shared(String)
        /// Items in the services' own form.
        case items([JSONValue])
    }

    /// The services' base URL without a path.
    package let origin: String
    private let process: Mutex<ChildProcess?>
    private let scratch: URL

    /// The base URL of a service: `github`, `gitlab`, `jira-cloud`, `jira-server`.
    package func url(_ service: String) -> String { "\(origin)/\(service)" }

    /// Each is a Python program of its own; more at a time only slow each other down.
    private static let turnstile = Turnstile(places: 4)

    /// Ends the services with this process: they see the end of their standard input.
    private static let wrapper = """
        import os, runpy, sys, threading
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")
        """

    private init(origin: String, process: ChildProcess, scratch: URL) {
        self.origin = origin
        self.process = Mutex(process)
        self.scratch = scratch
    }

    deinit { stop() }

    /// Starts the services and returns when they listen.
    ///
    /// `arguments` are the program's own, e.g. `["--faults", "7", "--fault-kinds", "reset"]`; the
    /// token is `test-token` unless they say otherwise. At most four run at a time: a test that
    /// holds several must start them one after the other and may wait for other tests to end
    /// theirs.
    package static func start(
        corpora: [Corpus],
        arguments: [String] = []
    ) async throws -> FakeTrackers {
        await turnstile.enter()
        do {
            return try await launch(corpora: corpora, arguments: arguments)
        } catch {
            turnstile.leave()
            throw error
        }
    }

    private static func launch(
        corpora: [Corpus],
        arguments: [String]
    ) async throws -> FakeTrackers {
        guard let program = SharedData.file("trackers/fake_trackers.py") else {
            throw FakeTrackersError.unavailable
        }
        let scratch = FileManager.default.temporaryDirectory
            .appendingPathComponent("fake-trackers-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
        var files: [String] = []
        for (number, corpus) in corpora.enumerated() {
            switch corpus {
            case .shared(let name):
                guard let file = SharedData.file("trackers/corpora/corpus-\(name).jsonl") else {
                    throw FakeTrackersError.unavailable
                }
                files.append(file.path)
            case .items(let items):
                let file = scratch.appendingPathComponent("own-\(number).jsonl")
                let text = items.map { $0.serializedText() }.joined(separator: "\n")
                try Data(text.utf8).write(to: file)
                files.append(file.path)
            }
        }
        var lastError: any Error = FakeTrackersError.unavailable
        // Another process may take the port between our look and the server's bind.
        for _ in 0..<3 {
            let port = try freeLoopbackPort()
            let process = try ChildProcess(
                [
                    "python3", "-c", wrapper, program.path, "--port", "\(port)", "--no-warm",
                    "--corpus",
                ]
                    + files + arguments
            )
            do {
                try await process.waitForError(containing: "listening on")
                return FakeTrackers(
                    origin: "http://127.0.0.1:\(port)",
                    process: process,
                    scratch: scratch
                )
            } catch {
                process.end()
                lastError = error
            }
        }
        throw lastError
    }

    /// Ends the services; safe to call twice.
    package func stop() {
        let process = process.withLock { process in
            defer { process = nil }
            return process
        }
        guard let process else { return }
        process.end()
        Self.turnstile.leave()
        // Losing a scratch directory below the temporary directory harms no test.
        try? FileManager.default.removeItem(at: scratch)
    }

    private static func freeLoopbackPort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw FakeTrackersError.unavailable }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0
                    ? getsockname(descriptor, pointer, &length) : -1
            }
        }
        guard status == 0 else { throw FakeTrackersError.unavailable }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

/// Why the reference services could not be used.
package enum FakeTrackersError: Error {
    case unavailable
    case didNotStart(String)
    /// The control plane refused a request.
    case refused(String)
}
