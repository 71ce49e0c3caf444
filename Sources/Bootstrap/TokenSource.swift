package import ArgumentParser
package import Domain
import Foundation
import Glibc
import Trackers

/// Where a token comes from; never from the command line, which every user of the machine can read.
package struct TokenSource: ParsableArguments {
    @Option(help: "The environment variable that holds the token.")
    package var tokenEnv: String?

    @Option(help: "The file that holds the token; - for standard input.")
    package var tokenFile: String?

    @Option(help: "The GitHub App whose private key is used instead of a token: its number.")
    package var appId: String?

    @Option(help: "The GitHub App's private key, a PEM file; - for standard input.")
    package var privateKeyFile: String?

    @Option(help: "Which installation of the GitHub App; needed when it has several.")
    package var installationId: Int64?

    /// The defaults.
    package init() {}

    /// Whether a GitHub App is to be used.
    package var namesApp: Bool { appId != nil }
    /// Whether any source is named; without one the terminal is asked.
    package var isGiven: Bool { tokenEnv != nil || tokenFile != nil || namesApp }

    /// Refuses two sources, and half of one.
    package func validate() throws {
        guard [tokenEnv, tokenFile, appId].count(where: { $0 != nil }) <= 1 else {
            throw ValidationError("give only one of --token-env, --token-file and --app-id")
        }
        guard (appId == nil) == (privateKeyFile == nil) else {
            throw ValidationError("--app-id and --private-key-file belong together")
        }
        guard installationId == nil || namesApp else {
            throw ValidationError("--installation-id belongs to --app-id")
        }
    }

    /// Refuses an App for a service that has none.
    package func validate(for kind: TrackerKind) throws {
        guard !namesApp || kind == .github else {
            throw ValidationError("--app-id is for github only")
        }
    }

    /// Reads the token: from the variable, the file, or the terminal without echo.
    ///
    /// A GitHub App is read as well: the result is what is stored in place of a token.
    package func read(
        environment: [String: String],
        for name: String
    ) throws(CommandFailure) -> Secret {
        if let appId, let privateKeyFile {
            return try readApp(appId, keyFile: privateKeyFile)
        }
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
            text = try Self.read(file: tokenFile, holding: "token")
        } else {
            text = try Terminal.readSecret("token", prompt: "token for \(name): ")
        }
        return try Self.checked(text)
    }

    private func readApp(
        _ identifier: String,
        keyFile: String
    ) throws(CommandFailure) -> Secret {
        let key = try Self.read(file: keyFile, holding: "private key")
        do throws(GitHubApp.Defect) {
            return try GitHubApp(
                identifier: identifier,
                installation: installationId,
                privateKey: Secret(key)
            ).stored
        } catch {
            throw CommandFailure(
                .usage,
                "the GitHub App cannot be used",
                reason: "\(error)",
                hint: "the App's settings show its number and make private keys"
            )
        }
    }

    /// Reads a short secret from a file, or from standard input for `-`.
    static func read(
        file: String,
        holding what: String
    ) throws(CommandFailure) -> String {
        let path = file.utf8.elementsEqual("-".utf8) ? "/dev/stdin" : file
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandFailure(
                .usage,
                "cannot read the \(what) file `\(file)`",
                reason: unsafe String(cString: strerror(errno)),
                hint: "check the path and that this user may read the file, or give - and the "
                    + "\(what) on standard input"
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
                "the \(what) file `\(file)` is too long",
                reason: "a \(what) is shorter than 64 KiB"
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
