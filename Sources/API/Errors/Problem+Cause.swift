import Domain
import Firewall
import Gateway
import HTTPTypes
import MCP
import NIOCore
import Search
import Store
import Trackers

extension Problem {
    /// The one place that says what each module's errors are over HTTP.
    init(cause: any Error) {
        switch cause {
        case let problem as Problem: self = problem
        case let error as StoreError: self = Self.problem(of: error)
        case let error as SearchError: self = Self.problem(of: error)
        case let error as TrackerError: self = Self.problem(of: error)
        case let error as UpstreamError: self = Self.problem(of: error)
        case let refusal as ApprovalRefusal: self = Self.problem(of: refusal)
        case let error as PolicyError: self = Self.problem(of: error)
        case let error as ToolFailure: self = .failure(error.text, error.kind)
        case is CancellationError:
            self.init(.serviceUnavailable, "the request was cancelled")
        case is ChannelError, is NIOAsyncWriterError:
            self.init(.badRequest, "the connection ended before the request did")
        // What it says may be of files and addresses that are nobody's business.
        default: self.init(.internalServerError, "the server failed; its log says why")
        }
    }

    /// What cannot be had at the moment, with what there is to do; what an account is not given
    /// does not come by waiting.
    static func unavailable(_ failure: ToolFailure) -> Problem {
        guard failure.kind != .conflict else { return Self.failure(failure.text, .conflict) }
        return overloaded(failure.text, after: 60)
    }

    private static func problem(of error: PolicyError) -> Problem {
        let detail = error.hint.map { "\(error); \($0)" } ?? "\(error)"
        switch error {
        case .invalid(let problems):
            var problem = Problem(.unprocessableContent, detail, code: "invalid_policy")
            problem.fields = problems.filter { $0.severity == .error }.map { found in
                let place = found.position.map { "\($0): " } ?? ""
                return Problem.Field(found.path, place + found.message)
            }
            return problem
        case .changedMeanwhile:
            return Problem(.preconditionFailed, detail, code: "changed_meanwhile")
        case .unusable: return Problem(.unprocessableContent, detail, code: "invalid_policy")
        case .unknownVersion, .unknownEntry, .none:
            return Problem(.notFound, detail, code: "not_in_policy")
        case .duplicate: return Problem(.conflict, detail, code: "duplicate")
        case .incompleteOrder, .malformed: return Problem(.unprocessableContent, detail)
        }
    }

    /// What a tool that gave nothing comes to: its words, and the status of their kind.
    ///
    /// A service that does not take our credential has done nothing, and neither has a tool that
    /// is busy; of what was given up, took too long or broke in the middle nobody knows.
    static func failure(_ text: String, _ kind: ToolResult.FailureKind) -> Problem {
        switch kind {
        case .invalid: Problem(.unprocessableContent, text, code: "tool_error")
        case .denied: Problem(.forbidden, text, code: "access_denied")
        case .notFound: Problem(.notFound, text, code: "not_found")
        case .conflict: Problem(.conflict, text, code: "conflict")
        case .refused: Problem(.unprocessableContent, text, code: "tracker_refused")
        case .credentialRefused:
            Problem(.unprocessableContent, text, code: "tracker_refuses_token")
                .having(.nothing)
        case .serviceFailed: Problem(.badGateway, text, code: "service_unavailable")
        case .outcomeUnknown: Problem(.badGateway, text, code: "outcome_unknown")
        case .busy: .overloaded(text, after: 30)
        case .timedOut: Problem(.gatewayTimeout, text, code: "timed_out")
        case .cancelled: Problem(.serviceUnavailable, text, code: "cancelled")
        // What it says was made for whoever called the tool, and shows no more than that.
        case .broken: Problem(.internalServerError, text, code: "tool_failed")
        }
    }

    private static func problem(of error: StoreError) -> Problem {
        switch error {
        case .constraint: Problem(.conflict, "something like this is there already")
        case .busy, .leaseHeld, .leaseLost, .timedOut:
            .overloaded("\(error)", after: 2)
        case .disconnected, .diskFull, .readOnly:
            .overloaded("the store cannot be used at the moment", after: 10)
        case .undecryptable:
            Problem(.conflict, "\(error)", code: "credential_unreadable")
        case .cancelled: Problem(.serviceUnavailable, "the request was cancelled")
        // A file that cannot be opened or read at the moment; whether something was written before
        // that, nobody knows.
        case .unavailable:
            Problem(.serviceUnavailable, "the store cannot be used; the log says why")
        case .newerSchema, .corrupt, .unexpectedValue, .statement:
            Problem(.internalServerError, "the store failed; the log says why")
        }
    }

    private static func problem(of error: SearchError) -> Problem {
        let detail = error.hint.map { "\(error); \($0)" } ?? "\(error)"
        return switch error {
        case .unknownIssue: Problem(.notFound, detail)
        case .ambiguousIssue, .emptyQuery, .pageOutOfRange, .invalidImport:
            Problem(.unprocessableContent, detail)
        case .unexpectedVectors, .file, .indexFull, .otherModel:
            Problem(.internalServerError, "searching failed; the log says why")
        case .noMirror:
            Problem(.internalServerError, "the database cannot search vectors; the log says why")
        case .mirrorBehind: .overloaded("\(error)", after: 30)
        }
    }

    private static func problem(of error: UpstreamError) -> Problem {
        let detail = error.hint.map { "\(error); \($0)" } ?? "\(error)"
        return switch error {
        case .misconfigured, .forbiddenAddress:
            Problem(.unprocessableContent, detail, code: "server_misconfigured")
        case .suspended(let seconds): .overloaded(detail, after: seconds)
        case .crowded: .overloaded(detail, after: 10)
        case .held: Problem(.conflict, detail, code: "tool_held")
        case .notAsShown: Problem(.conflict, detail, code: "not_as_shown")
        case .unauthorized:
            Problem(.unprocessableContent, detail, code: "server_refuses_credential")
                .having(.nothing)
        case .refused, .unreachable, .unknownHost, .notStarted, .lost, .sessionEnded, .invalid,
            .tooLarge, .timedOut, .ended:
            Problem(.badGateway, detail, code: "server_failed")
        }
    }

    /// What a scan of an MCP server has found out by failing.
    ///
    /// That the server fails is what was asked for, and is kept as its state: it is said like a
    /// credential that it refuses or an address that may not be used, not as a failure of this
    /// server. Nothing was done, so the same request may be sent again.
    ///
    /// - Parameter error: Why the scan failed.
    /// - Returns: What its caller is told: 422 in the place of 502.
    static func scan(_ error: UpstreamError) -> Problem {
        var problem = Problem(cause: error)
        guard problem.status == .badGateway else { return problem }
        problem.status = .unprocessableContent
        return problem.having(.nothing)
    }

    private static func problem(of error: TrackerError) -> Problem {
        let detail = error.hint.map { "\(error); \($0)" } ?? "\(error)"
        return switch error {
        case .unauthenticated, .forbidden:
            Problem(.unprocessableContent, detail, code: "tracker_refuses_token")
                .having(.nothing)
        case .notFound: Problem(.notFound, detail, code: "not_found_in_tracker")
        case .rateLimited: .overloaded(detail, after: 60)
        case .unavailable, .invalidResponse, .pageTokenExpired:
            Problem(.badGateway, detail, code: "tracker_unavailable")
        case .refused: Problem(.unprocessableContent, detail, code: "tracker_refused")
        case .outcomeUnknown: Problem(.badGateway, detail, code: "outcome_unknown")
        case .cancelled: Problem(.serviceUnavailable, "the request was cancelled")
        }
    }
}
