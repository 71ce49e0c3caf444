package import Domain
import Glibc

/// The installation's key: 64 hexadecimal digits in a file only its owner can read.
package struct SecretKeyFile: Sendable {
    /// Where it is.
    package let path: String

    /// The key file of an installation.
    package init(home: String) {
        path = home + "/secret.key"
    }

    /// Whether the file exists.
    package var exists: Bool { unsafe access(path, F_OK) == 0 }

    /// Reads the key.
    ///
    /// - Throws: ``StoreError/unavailable(detail:)`` when it is missing, unreadable or not a key.
    package func read() throws(StoreError) -> Secret {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("cannot read the key file `\(path)`") }
        defer { close(descriptor) }
        // One byte more than the digits and a line end, so that a longer file is noticed.
        var buffer = [UInt8](repeating: 0, count: 66)
        let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { throw Self.failure("cannot read the key file `\(path)`") }
        var digits = buffer.prefix(count)
        if digits.last == 10 { digits.removeLast() }
        guard digits.count == 64, digits.allSatisfy(Self.isHexadecimal) else {
            throw .unavailable(detail: "the key file `\(path)` does not hold 64 hexadecimal digits")
        }
        return Secret(String(decoding: digits, as: UTF8.self))
    }

    /// Makes a key unless there is one.
    ///
    /// Of two processes that try at once one wins, and both read its
    /// key: the file appears by `link`, whole or not at all, and never replaces another.
    package func create() throws(StoreError) {
        guard !exists else { return }
        let temporary = "\(path).\(getpid()).new"
        let descriptor = unsafe open(
            temporary,
            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
            0o600
        )
        guard descriptor >= 0 else { throw Self.failure("cannot write `\(temporary)`") }
        defer { unsafe unlink(temporary) }
        var text = Self.randomDigits()
        text.append(10)
        let written = unsafe write(descriptor, text, text.count)
        let isSafe = written == text.count && fsync(descriptor) == 0
        guard close(descriptor) == 0, isSafe else {
            throw Self.failure("cannot write `\(temporary)`")
        }
        guard unsafe link(temporary, path) == 0 || errno == EEXIST else {
            throw Self.failure("cannot write the key file `\(path)`")
        }
    }

    private static func randomDigits() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<64).map { _ in
            Array("0123456789abcdef".utf8)[Int.random(in: 0..<16, using: &generator)]
        }
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (97...102).contains(byte) || (65...70).contains(byte)
    }

    private static func failure(_ what: String) -> StoreError {
        switch errno {
        case ENOSPC, EDQUOT: .diskFull
        case EROFS: .readOnly
        case let code: unsafe .unavailable(detail: "\(what): \(String(cString: strerror(code)))")
        }
    }
}
