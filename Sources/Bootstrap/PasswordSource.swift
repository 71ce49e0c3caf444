package import ArgumentParser
import Domain

/// Where a password comes from; never from the command line, which every user of the machine can
/// read.
package struct PasswordSource: ParsableArguments {
    @Option(help: "The environment variable that holds the password.")
    package var passwordEnv: String?

    @Option(help: "The file that holds the password; - for standard input.")
    package var passwordFile: String?

    /// The defaults.
    package init() {}

    /// Refuses two sources.
    package func validate() throws {
        guard passwordEnv == nil || passwordFile == nil else {
            throw ValidationError("give only one of --password-env and --password-file")
        }
    }

    /// Reads the password: from the variable, the file, or the terminal without echo.
    ///
    /// - Parameters:
    ///   - environment: Where the variable is looked for.
    ///   - name: Whose password.
    ///   - isNew: Whether the terminal asks twice: nobody sees a slip of the finger.
    /// - Returns: The password.
    /// - Throws: ``CommandFailure`` when there is none, or two that differ.
    package func read(
        environment: [String: String],
        for name: String,
        isNew: Bool = false
    ) throws(CommandFailure) -> String {
        if let passwordEnv {
            guard let value = environment[passwordEnv], !value.isEmpty else {
                throw CommandFailure(
                    .usage,
                    "the environment variable `\(passwordEnv)` is not set",
                    hint: "export it, or use --password-file"
                )
            }
            return value
        }
        if let passwordFile {
            let text = try TokenSource.read(file: passwordFile, holding: "password")
            // An editor ends the last line; nobody's password ends so.
            return text.hasSuffix("\n") ? String(text.dropLast()) : text
        }
        let typed = try Terminal.readSecret("password", prompt: "password for \(name): ")
        guard isNew else { return typed }
        let again = try Terminal.readSecret("password", prompt: "the same again: ")
        guard haveEqualBytes(typed, again) else {
            throw CommandFailure(.usage, "the two passwords differ", hint: "try again")
        }
        return typed
    }
}
