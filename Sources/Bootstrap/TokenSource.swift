package import ArgumentParser
package import Domain
import Foundation
import Glibc

/// Where a token comes from; never from the command line, which every user of the machine can read.
package struct TokenSource: ParsableArguments {
    @Option(help: "The environment variable that holds the token.")
    package var tokenEnv: String?

    @Option(help: "The file that holds the token; - for standard input.")
    package var tokenFile: String?

    /// The defaults.
    package init() {}

    /// Refuses two sources.
    package func validate() throws {
        guard tokenEnv == nil || tokenFile == nil else {
            throw ValidationError("give --token-env or --token-file, not both")
        }
    }

    /// Reads the token: from the variable, the file, or the terminal without echo.
    package func read(
        environment: [String: String],
        for name: String
    ) throws(CommandFailure) -> Secret {
        let text: String
        if let tokenEnv {
            guard let value = environment[tokenEnv] else {
                throw CommandFailure(
                    .usage,
                    "the environment variable `\(tokenEnv)` is not set",
                    hint: "export it, or use --token-file"
                )
            }
            text = value
        } else if let tokenFile {
            text = try Self.read(file: tokenFile)
        } else {
            text = try Terminal.readSecret(prompt: "token for \(name): ")
        }
        return try Self.checked(text)
    }

    private static func read(file: String) throws(CommandFailure) -> String {
        let path = file.utf8.elementsEqual("-".utf8) ? "/dev/stdin" : file
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandFailure(
                .usage,
                "cannot read the token file `\(file)`",
                reason: unsafe String(cString: strerror(errno))
            )
        }
        defer { close(descriptor) }
        // A token is shorter; a larger file is another file.
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var count = 0
        while count < buffer.count {
            let room = buffer.count - count
            let read = unsafe buffer.withUnsafeMutableBytes { bytes in
                unsafe Glibc.read(descriptor, bytes.baseAddress?.advanced(by: count), room)
            }
            guard read > 0 else { break }
            count += read
        }
        guard count < buffer.count else {
            throw CommandFailure(
                .usage,
                "the token file `\(file)` is too long",
                reason: "a token is shorter than 64 KiB"
            )
        }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }

    /// A header can carry visible ASCII only; anything else is a file of another kind.
    private static func checked(_ text: String) throws(CommandFailure) -> Secret {
        var bytes = Array(text.utf8)
        let spaces: Set<UInt8> = [9, 10, 13, 32]
        while let last = bytes.last, spaces.contains(last) { bytes.removeLast() }
        bytes = Array(bytes.drop(while: spaces.contains))
        guard !bytes.isEmpty else {
            throw CommandFailure(.usage, "the token is empty")
        }
        guard bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw CommandFailure(
                .usage,
                "that is not a token",
                reason: "it holds spaces, line breaks or characters beyond ASCII"
            )
        }
        return Secret(String(decoding: bytes, as: UTF8.self))
    }
}
