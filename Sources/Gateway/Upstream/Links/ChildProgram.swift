import Dispatch
import Glibc
import MCP
import Synchronization

/// A program that serves MCP over its standard input and output, in a process group of its own.
///
/// Nothing of a shell is involved: the words of the command are its arguments. What it writes to
/// standard error is kept to its last kilobytes, to say why it ended. Its end is told when it has
/// ended itself, whatever it has started goes on.
final class ChildProgram: Sendable {
    /// How long a reader waits before it looks whether the program has ended, in milliseconds:
    /// something that it has started may hold the other end of the pipe open.
    private static let readMilliseconds: Int32 = 1_000
    /// What a program wrote before it ended is in its pipes; what takes longer is of others.
    private static let afterEnd: Duration = .seconds(1)
    /// Lines read ahead; whoever does not take them leaves the rest in the pipe.
    private static let linesAhead = 8
    /// Nearly all are marked to be closed by the system; these are looked at one by one.
    private static let maximumDescriptors: Int32 = 4_096
    /// How often a writer that waits for room looks whether it was stopped, in milliseconds.
    private static let lookMilliseconds: Int32 = 100
    /// How long a program may take to end by itself, and then by SIGTERM.
    private static let grace: Duration = .seconds(3)

    private static let starting = Mutex(())

    /// Also the number of its process group.
    let identifier: pid_t
    /// What it writes to standard output, line by line, to be taken by ``next()``.
    private let lines: AsyncStream<LineFraming.Line>
    /// Begins at 0: Dispatch ends the process when a semaphore goes with less than it began with,
    /// and a program may go with lines that nobody took.
    private let permits = DispatchSemaphore(value: 0)
    private let input: Int32
    private let writing = DispatchQueue(label: "preloop.upstream.input")
    /// Nothing more is written.
    private let isStopped = Atomic<Bool>(false)
    private let isEnding = Atomic<Bool>(false)
    /// Nothing more is read.
    private let isOver = Atomic<Bool>(false)
    private let errors: Mutex<ErrorTail>
    private let exit = Mutex<(status: Int32?, waiting: [CheckedContinuation<Int32, Never>])>(
        (nil, [])
    )

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - command: The program, looked up in `PATH`, and its arguments.
    ///   - environment: All its variables.
    ///   - secrets: What must not be repeated of what it writes to standard error.
    ///   - lineLimit: Longer lines of its output are not kept.
    /// - Throws: ``UpstreamError/notStarted(program:reason:)``, or
    ///   ``UpstreamError/unreachable(reason:)`` without pipes.
    init(
        _ command: [String],
        environment: [String: String],
        secrets: [String] = [],
        lineLimit: Int
    ) throws(UpstreamError) {
        errors = Mutex(ErrorTail(secrets: secrets))
        // One at a time: another program must not get this one's pipes before they are marked.
        let started = Self.starting.withLock { _ in
            Result { () throws(UpstreamError) in
                let pipes = try Pipes()
                return (pipes, try Self.spawn(command, environment, pipes))
            }
        }
        let pipes: Pipes
        (pipes, identifier) = try started.get()
        pipes.closeTheirs()
        input = pipes.input.ours
        _ = fcntl(input, F_SETFL, fcntl(input, F_GETFL) | O_NONBLOCK)
        let (lines, continuation) = AsyncStream.makeStream(of: LineFraming.Line.self)
        self.lines = lines
        for _ in 0..<Self.linesAhead { permits.signal() }
        let (output, errorOutput) = (pipes.output.ours, pipes.errors.ours)
        DispatchQueue(label: "preloop.upstream.output").async {
            self.readLines(output, lineLimit, continuation)
        }
        DispatchQueue(label: "preloop.upstream.errors").async { self.readErrors(errorOutput) }
        DispatchQueue(label: "preloop.upstream.exit").async { self.awaitExit() }
    }

    // MARK: - Start

    /// The three pipes, both ends of each.
    private struct Pipes {
        struct Pipe {
            var ours: Int32
            var theirs: Int32
        }

        var input = Pipe(ours: -1, theirs: -1)
        var output = Pipe(ours: -1, theirs: -1)
        var errors = Pipe(ours: -1, theirs: -1)

        init() throws(UpstreamError) {
            var made: [(Int32, Int32)] = []
            for _ in 0..<3 {
                var ends: [Int32] = [-1, -1]
                guard unsafe pipe(&ends) == 0 else {
                    for (read, write) in made { _ = (Glibc.close(read), Glibc.close(write)) }
                    throw .unreachable(reason: "no pipes are left")
                }
                for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
                made.append((ends[0], ends[1]))
            }
            input = Pipe(ours: made[0].1, theirs: made[0].0)
            output = Pipe(ours: made[1].0, theirs: made[1].1)
            errors = Pipe(ours: made[2].0, theirs: made[2].1)
        }

        func closeTheirs() {
            for pipe in [input, output, errors] { Glibc.close(pipe.theirs) }
        }

        func closeOurs() {
            for pipe in [input, output, errors] { Glibc.close(pipe.ours) }
        }
    }

    private static func spawn(
        _ command: [String],
        _ environment: [String: String],
        _ pipes: Pipes
    ) throws(UpstreamError) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        unsafe posix_spawn_file_actions_adddup2(&actions, pipes.input.theirs, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, pipes.output.theirs, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, pipes.errors.theirs, 2)
        // The database, sockets and keys of this process are nobody else's.
        for descriptor in 3..<Self.maximumDescriptors {
            let flags = fcntl(descriptor, F_GETFD)
            guard flags >= 0, flags & FD_CLOEXEC == 0 else { continue }
            unsafe posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        var (none, all) = (sigset_t(), sigset_t())
        unsafe sigemptyset(&none)
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        let words = unsafe command.map { unsafe strdup($0) }
        let variables = unsafe environment.map { unsafe strdup("\($0.key)=\($0.value)") }
        defer { unsafe (words + variables).forEach { unsafe free($0) } }
        var child: pid_t = 0
        let status = unsafe posix_spawnp(
            &child,
            command.first ?? "",
            &actions,
            &attributes,
            unsafe words + [nil],
            unsafe variables + [nil]
        )
        guard status == 0 else {
            pipes.closeTheirs()
            pipes.closeOurs()
            let reason = unsafe String(cString: strerror(status))
            throw .notStarted(program: command.first ?? "", reason: reason)
        }
        return child
    }

    // MARK: - Output

    /// Gives each line to `take`, which is waited for, until the output is over.
    func read(_ take: (LineFraming.Line) async -> Void) async {
        for await line in lines {
            await take(line)
            permits.signal()
        }
    }

    private func readLines(
        _ descriptor: Int32,
        _ limit: Int,
        _ continuation: AsyncStream<LineFraming.Line>.Continuation
    ) {
        var framing = LineFraming(limit: limit)
        read(descriptor) { piece in
            for line in framing.add(piece) {
                permits.wait()
                continuation.yield(line)
            }
        }
        if let line = framing.finish() { continuation.yield(line) }
        continuation.finish()
    }

    private func readErrors(_ descriptor: Int32) {
        read(descriptor) { piece in errors.withLock { $0.add(piece) } }
    }

    /// Reads to the end, or until the program has ended and what it wrote is read, and closes.
    private func read(_ descriptor: Int32, _ take: (ArraySlice<UInt8>) -> Void) {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while !isOver.load(ordering: .sequentiallyConsistent) {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = unsafe poll(&entry, 1, Self.readMilliseconds)
            if ready == 0 || (ready < 0 && errno == EINTR) { continue }
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            take(chunk[..<count])
        }
        Glibc.close(descriptor)
    }

    /// The latest lines of standard error, in one line, without control characters.
    var errorText: String {
        let text = String(decoding: errors.withLock { $0.shown }, as: UTF8.self)
        let lines = text.split(whereSeparator: \.isNewline).suffix(3)
        let joined = lines.joined(separator: " | ")
        return String(
            joined.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) }
        )
    }

    // MARK: - Input

    /// Writes a line; false when the program does not read any more.
    func write(_ bytes: [UInt8]) async -> Bool {
        await withCheckedContinuation { written in
            writing.async { written.resume(returning: self.writeNow(bytes)) }
        }
    }

    private func writeNow(_ bytes: [UInt8]) -> Bool {
        // A pipe that nobody reads is an error here, and no reason to end.
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGPIPE)
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        var start = 0
        while start < bytes.count {
            if isStopped.load(ordering: .sequentiallyConsistent) { return false }
            var entry = pollfd(fd: input, events: Int16(POLLOUT), revents: 0)
            let ready = unsafe poll(&entry, 1, Self.lookMilliseconds)
            if ready == 0 || (ready < 0 && errno == EINTR) { continue }
            let rest = bytes[start...]
            let count = unsafe rest.withUnsafeBytes { part in
                unsafe Glibc.write(input, part.baseAddress, part.count)
            }
            if count >= 0 {
                start += count
            } else if errno != EINTR && errno != EAGAIN {
                return false
            }
        }
        return true
    }

    // MARK: - End

    /// Waits for the end on a thread of its own, and takes what the program has started with it.
    private func awaitExit() {
        var information = unsafe siginfo_t()
        while unsafe waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) != 0,
            errno == EINTR
        {}
        // The number is still its own: nobody else's group is meant.
        kill(-identifier, SIGKILL)
        var status: Int32 = 0
        while unsafe waitpid(identifier, &status, 0) < 0, errno == EINTR {}
        isStopped.store(true, ordering: .sequentiallyConsistent)
        let waiting = exit.withLock { exit in
            exit.status = status
            defer { exit.waiting = [] }
            return exit.waiting
        }
        for continuation in waiting { continuation.resume(returning: status) }
        endReading()
    }

    /// Lets the readers go when they have had the time to read what is left.
    private func endReading() {
        DispatchQueue(label: "preloop.upstream.end").asyncAfter(
            deadline: .now() + .milliseconds(Int(Self.afterEnd / .milliseconds(1)))
        ) {
            self.isOver.store(true, ordering: .sequentiallyConsistent)
        }
    }

    /// How it ended, in words; waits until it has.
    func exitText() async -> String {
        let status = await withCheckedContinuation { continuation in
            let known = exit.withLock { exit in
                if exit.status == nil { exit.waiting.append(continuation) }
                return exit.status
            }
            if let known { continuation.resume(returning: known) }
        }
        let signal = status & 0x7F
        return signal == 0 ? "exit status \(status >> 8 & 0xFF)" : "signal \(signal)"
    }

    private var hasEnded: Bool { exit.withLock { $0.status != nil } }

    /// Ends the program: its input ends, then SIGTERM, then SIGKILL, to all of its group.
    func stop() async {
        isStopped.store(true, ordering: .sequentiallyConsistent)
        guard !isEnding.exchange(true, ordering: .sequentiallyConsistent) else { return }
        let input = input
        await withCheckedContinuation { closed in
            writing.async {
                Glibc.close(input)
                closed.resume()
            }
        }
        await awaitEnd(within: .milliseconds(500))
        if !hasEnded { kill(-identifier, SIGTERM) }
        await awaitEnd(within: Self.grace)
        if !hasEnded { kill(-identifier, SIGKILL) }
    }

    private func awaitEnd(within limit: Duration) async {
        let deadline = ContinuousClock.now.advanced(by: limit)
        while !hasEnded, ContinuousClock.now < deadline {
            // Goes on when cancelled: stopping is what comes after cancellation.
            let pause = Task { try? await Task.sleep(for: .milliseconds(10)) }
            await pause.value
        }
    }
}
