/// How a program ends; the numbers are documented and do not change.
package enum ExitStatus: Int32, Sendable {
    case success = 0
    case failure = 1
    /// The command line or the environment is wrong.
    case usage = 2
    /// A tracker or provider refuses the credential.
    case authentication = 4
    /// What was asked for does not exist.
    case notFound = 5
    /// What was to be verified is not what was written.
    case unsound = 6
    /// Some projects failed; the others are done and stored.
    case partial = 7
    /// Someone else is at it (EX_TEMPFAIL of sysexits.h): the same command later is right.
    case tryLater = 75
    /// Stopped by SIGINT or SIGTERM, cleanly (128 + SIGINT, as shells do).
    case interrupted = 130
}
