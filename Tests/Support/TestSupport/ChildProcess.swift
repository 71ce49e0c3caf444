import Foundation

/// A child whose standard input ends, at the latest, when this process does, and whose standard
/// error can be read.
///
/// Foundation's `Process` blocks the cooperative pool when tests start many children at once, and
/// its children inherit each other's pipes, so that none sees the end of its input.
final class ChildProcess: Sendable {
    private static let starting = NSLock()
    /// Descriptors a child does not inherit, open or not: hundreds of tests have a few each.
    private static let maximumDescriptors: Int32 = 8_192

    let identifier: pid_t
    /// Our ends of the pipes.
    private let input: Int32
    private let errors: Int32

    /// Starts `arguments[0]`, looked for in `PATH`.
    init(_ arguments: [String]) throws {
        // Between a pipe and its close-on-exec flag no other child may start.
        Self.starting.lock()
        defer { Self.starting.unlock() }
        let inputEnds = try Self.pipe()
        let errorEnds = try Self.pipe()
        defer {
            close(inputEnds[0])
            close(errorEnds[1])
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputEnds[0], 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, errorEnds[1], 2)
        // It would keep open, for as long as it runs, what it inherits: the socket by whose end
        // `Process` learns that another child has ended, for one.
        for descriptor in 3..<Self.maximumDescriptors {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        var words = arguments.map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let status = posix_spawnp(&child, arguments[0], &actions, nil, words, environ)
        input = inputEnds[1]
        errors = errorEnds[0]
        identifier = child
        guard status == 0 else {
            close(input)
            close(errors)
            throw FakeTrackersError.didNotStart(String(cString: strerror(status)))
        }
    }

    /// Both ends, read end first, closed in children.
    private static func pipe() throws -> [Int32] {
        var ends: [Int32] = [-1, -1]
        guard Foundation.pipe(&ends) == 0 else { throw FakeTrackersError.unavailable }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return ends
    }

    /// Waits for `phrase` in what the child writes to standard error, and lets it write on.
    func waitForError(containing phrase: String) async throws {
        try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Void, any Error>) in
            // Reading blocks, so it has a thread of its own; it then drains what else is written.
            Thread.detachNewThread { [errors] in
                var text = ""
                var isFound = false
                var buffer = [UInt8](repeating: 0, count: 4096)
                while true {
                    let count = read(errors, &buffer, buffer.count)
                    guard count > 0 else { break }
                    guard !isFound else { continue }
                    text += String(decoding: buffer[..<count], as: UTF8.self)
                    if text.contains(phrase) {
                        isFound = true
                        continuation.resume()
                    }
                }
                close(errors)
                if !isFound { continuation.resume(throwing: FakeTrackersError.didNotStart(text)) }
            }
        }
    }

    /// Writes to the child's standard input.
    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Foundation.write(input, bytes, bytes.count)
    }

    /// Ends the child's standard input and waits for its end; call it once, in place of `end`.
    func wait() {
        close(input)
        var status: Int32 = 0
        waitpid(identifier, &status, 0)
    }

    /// Kills the child and waits for its end; call it once.
    func end() {
        kill(identifier, SIGKILL)
        var status: Int32 = 0
        waitpid(identifier, &status, 0)
        close(input)
    }
}
