import Glibc

/// A file that appears whole or not at all: written beside its name, synced, renamed.
package struct ReplacedFile: ~Copyable {
    /// Where the content goes.
    package var output: Output

    private let path: String
    private let temporaryPath: String
    private let descriptor: Int32

    /// Begins the file that ``commit()`` will put in the place of `path`.
    package init(path: String) throws(CommandFailure) {
        let temporary = "\(path).\(getpid()).new"
        let opened = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard opened >= 0 else { throw Self.failure(path) }
        self.path = path
        temporaryPath = temporary
        descriptor = opened
        output = Output(opened)
    }

    /// Ends the file and gives it its name.
    package mutating func commit() throws {
        try output.flush()
        guard fsync(descriptor) == 0, unsafe rename(temporaryPath, path) == 0 else {
            throw Self.failure(path)
        }
    }

    deinit {
        close(descriptor)
        // After a commit there is nothing of that name.
        unsafe unlink(temporaryPath)
    }

    private static func failure(_ path: String) -> CommandFailure {
        CommandFailure(
            .failure,
            "cannot write `\(path)`",
            reason: unsafe String(cString: strerror(errno))
        )
    }
}
