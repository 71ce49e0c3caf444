import Foundation
import Glibc
import TestSupport

/// A program that believes to run on a terminal: it leads a session whose terminal is the test's.
final class PseudoTerminal {
    private let master: Int32
    private let process: pid_t
    /// `POSIX_SPAWN_SETSID` of glibc's spawn.h, which the importer leaves out.
    private static let newSession: Int16 = 0x80
    /// All that appeared on the terminal so far.
    private(set) var screen = ""

    /// Starts a program with the terminal as its standard input, output and error.
    init(
        program: URL,
        arguments: [String],
        environment: [String: String],
        columns: UInt16 = 120
    ) throws {
        var (opened, slave) = (Int32(-1), Int32(-1))
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        guard openpty(&opened, &slave, nil, nil, &size) == 0 else { throw POSIXError(.ENOTTY) }
        master = opened
        // The program alone holds its end, so that its exit is the end of the screen.
        defer { close(slave) }
        for descriptor in [opened, slave] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        var name = [CChar](repeating: 0, count: 128)
        guard ttyname_r(slave, &name, name.count) == 0 else { throw POSIXError(.ENOTTY) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A session without a terminal takes the first one its leader opens.
        posix_spawnattr_setflags(&attributes, Self.newSession)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var words: [UnsafeMutablePointer<CChar>?] = ([program.path] + arguments).map { strdup($0) }
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") }
        defer { for pointer in words + variables { free(pointer) } }
        words.append(nil)
        variables.append(nil)
        var child: pid_t = 0
        let status = posix_spawn(&child, program.path, &actions, &attributes, words, variables)
        guard status == 0 else { throw POSIXError(POSIXErrorCode(rawValue: status) ?? .EIO) }
        process = child
        ChildWatch.shared?.begin(child)
    }

    deinit { close(master) }

    /// Reads until `text` has appeared on the screen.
    ///
    /// - Returns: Whether it has; false when the program ended before, or was silent for a minute.
    func wait(for text: String) -> Bool {
        while !screen.contains(text) {
            guard read() else { return false }
        }
        return true
    }

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(master, bytes, bytes.count)
    }

    func signal(_ number: Int32) { kill(process, number) }

    /// Whether the terminal shows what is typed.
    var echoes: Bool {
        var settings = termios()
        return tcgetattr(master, &settings) == 0 && settings.c_lflag & tcflag_t(ECHO) != 0
    }

    /// Reads to the program's end.
    ///
    /// - Returns: Its exit status; -1 when a signal ended it.
    func exitStatus() -> Int32 {
        while read() {}
        var status: Int32 = 0
        guard waitpid(process, &status, 0) == process else { return -1 }
        ChildWatch.shared?.end(process)
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -1
    }

    private func read() -> Bool {
        var question = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        guard poll(&question, 1, 60_000) > 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 4096)
        // The end of a terminal's last user reads as an error.
        let count = Glibc.read(master, &buffer, buffer.count)
        guard count > 0 else { return false }
        screen += String(decoding: buffer.prefix(count), as: UTF8.self)
        return true
    }
}
