package import HTTPClient
package import MCP

/// Why an upstream MCP server gave no answer.
///
/// Never holds credentials, arguments or results.
package enum UpstreamError: Error, Sendable, Equatable {
    /// The server answered with an error of the protocol; its caller gets the same.
    case refused(RPCError)
    /// The address is not one that requests may go to.
    case forbiddenAddress(EgressRefusal)
    /// Nothing was sent.
    case unreachable(reason: String)
    /// The name in its address stands for no address; nothing was sent.
    case unknownHost(String)
    /// Its program cannot be started; nothing was sent.
    case notStarted(program: String, reason: String)
    /// It does not take the credential.
    case unauthorized(status: Int)
    /// It was sent, and whether it was done is not known.
    case lost(reason: String)
    /// There is no session any more, and nothing of this was done in it.
    case sessionEnded
    /// What comes is not the protocol.
    case invalid(reason: String)
    /// An answer, or what comes before it, is greater than is taken.
    case tooLarge(limit: Int)
    case timedOut(seconds: Int)
    /// Its program ended; the latest lines of its standard error say why.
    case ended(status: String, errors: String)
    /// It failed several times in a row and is left alone for a while.
    case suspended(seconds: Int)
    /// As many sessions as there may be are at work; nothing was sent.
    case crowded(sessions: Int)
    /// The tool is not what was accepted any more.
    case held(tool: String)
    /// What waits to be accepted is not what somebody has looked at.
    case notAsShown
    /// Something about its configuration cannot be used.
    case misconfigured(reason: String)
}

extension UpstreamError: CustomStringConvertible {
    /// One line for whoever called a tool, and for operators.
    package var description: String {
        switch self {
        case .refused(let error): "the server refuses: \(error.message)"
        case .forbiddenAddress(let refusal): "\(refusal)"
        case .unreachable(let reason): "the server cannot be reached: \(reason)"
        case .unknownHost(let host):
            "the server cannot be reached: the host `\(host)` is not known"
        case .notStarted(let program, let reason):
            "the server cannot be reached: `\(program)` cannot be started: \(reason)"
        case .unauthorized(let status): "the server does not take the credential (\(status))"
        case .lost(let reason): "the server broke off, and may have done the work: \(reason)"
        case .sessionEnded: "the server has ended the session"
        case .invalid(let reason): "the server answers what the protocol does not know: \(reason)"
        case .tooLarge(let limit): "the server sends more than \(limit) bytes at once"
        case .timedOut(let seconds): "the server has not answered within \(seconds) seconds"
        case .ended(let status, let errors):
            errors.isEmpty
                ? "the server's program ended (\(status))"
                : "the server's program ended (\(status)): \(errors)"
        case .suspended(let seconds):
            "the server failed several times in a row and is left alone for \(seconds) seconds"
        case .crowded(let sessions): "all \(sessions) sessions with the server are at work"
        case .held(let tool):
            "`\(tool)` has changed since it was accepted and waits to be accepted again"
        case .notAsShown:
            "what waits is not what was shown; nothing was accepted"
        case .misconfigured(let reason): "the server cannot be used: \(reason)"
        }
    }

    /// What to do; nil when there is nothing to do.
    package var hint: String? {
        switch self {
        case .forbiddenAddress(let refusal) where refusal.isAllowable:
            "an operator can allow it by naming the host or network in PRELOOP_UPSTREAM_ALLOW"
        case .unauthorized:
            "sign in with `preloop servers login`, or give a credential by `preloop servers update`"
        case .unknownHost:
            "check the name in its address; when that is right, try again later"
        case .notStarted: "install the program, or give its whole path"
        case .lost: "look whether it was done before you call it again"
        case .held: "`preloop servers diff` shows the change, `preloop servers accept` accepts it"
        case .notAsShown: "look at what waits now (`preloop servers diff`), and accept that"
        case .timedOut, .suspended, .crowded, .unreachable: "try again later"
        case .refused, .sessionEnded, .invalid, .tooLarge, .ended, .misconfigured,
            .forbiddenAddress:
            nil
        }
    }

    /// Whether the server itself is at fault, so that going on asking it is of no use.
    var countsAgainstServer: Bool {
        switch self {
        case .unreachable, .unknownHost, .notStarted, .lost, .invalid, .tooLarge, .timedOut,
            .ended:
            true
        case .refused, .forbiddenAddress, .unauthorized, .sessionEnded, .suspended, .crowded,
            .held, .notAsShown, .misconfigured:
            false
        }
    }

    /// Whether it says anything about the server: what was decided here does not.
    ///
    /// Where that was after the server had answered, ``UpstreamPool/LocalFailure`` says so.
    var saysSomethingOfServer: Bool {
        switch self {
        case .refused, .unreachable, .unknownHost, .notStarted, .unauthorized, .lost,
            .sessionEnded, .invalid, .tooLarge, .timedOut, .ended:
            true
        case .forbiddenAddress, .suspended, .crowded, .held, .notAsShown, .misconfigured: false
        }
    }

    /// Whether a question that failed so may have been one that the server does not know.
    var saysAnotherEra: Bool {
        switch self {
        case .refused, .invalid, .lost, .sessionEnded: true
        case .forbiddenAddress, .unreachable, .unknownHost, .notStarted, .unauthorized, .tooLarge,
            .timedOut, .ended, .suspended, .crowded, .held, .notAsShown, .misconfigured:
            false
        }
    }

    /// What a transfer's error means, where the request had been given to the network or not.
    init(_ error: HTTPError) {
        switch error {
        case .nameNotResolved(let host): self = .unknownHost(host)
        case .invalidURL, .forbidden, .connectionFailed, .tlsFailed,
            .timedOut(_, phase: .connect):
            self = .unreachable(reason: "\(error)")
        case .connectionLost, .cancelled: self = .lost(reason: "\(error)")
        case .timedOut: self = .lost(reason: "\(error)")
        case .responseTooLarge(_, let limit): self = .tooLarge(limit: limit)
        case .invalidResponse: self = .invalid(reason: "\(error)")
        }
    }
}
