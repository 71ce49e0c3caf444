package import ArgumentParser
import Glibc
import LinearAlgebra

/// Runs a program's command line from its first word to its exit status.
package enum Program {
    /// Parses, runs, reports, exits.
    @concurrent package static func run(_ root: any ParsableCommand.Type) async -> Never {
        // A reader that went away (`| head`) shows as EPIPE on the write, not as a signal.
        _ = signal(SIGPIPE, SIG_IGN)
        // Writes into the environment, which nobody reads yet.
        BLAS.prepare()
        var command: any ParsableCommand
        do {
            command = try root.parseAsRoot()
        } catch {
            end(report(parsing: error, root: root))
        }
        do {
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            end(report(error, root: root))
        }
        end(ExitStatus.success.rawValue)
    }

    /// Ends the process without what libraries do at its end: a thread that was still speaking to a
    /// database over TLS found OpenSSL's locks gone, and the command ended by a signal in place of
    /// its exit status.
    ///
    /// Nothing is buffered: all output is written by ``Output``.
    static func end(_ status: Int32) -> Never {
        _exit(status)
    }

    /// Help and version are answers; everything else the parser throws is a usage error.
    private static func report(parsing error: any Error, root: any ParsableCommand.Type) -> Int32 {
        let message = root.fullMessage(for: error)
        guard root.exitCode(for: error) != .success else {
            standardOutput(message + "\n")
            return ExitStatus.success.rawValue
        }
        standardError(message + "\n")
        return ExitStatus.usage.rawValue
    }

    private static func report(_ error: any Error, root: any ParsableCommand.Type) -> Int32 {
        switch error {
        case let failure as CommandFailure:
            standardError(failure.text)
            return failure.status.rawValue
        case let code as ExitCode: return code.rawValue
        case OutputError.readerGone: return ExitStatus.success.rawValue
        case is ValidationError, is CleanExit: return report(parsing: error, root: root)
        default:
            // A command that only has subcommands asks for its help.
            guard root.exitCode(for: error) != .success else {
                return report(parsing: error, root: root)
            }
            let failure = CommandFailure("the command failed", cause: error)
            standardError(failure.text)
            return failure.status.rawValue
        }
    }
}
