import Domain
import Gateway
import HTTPTypes
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
        case let error as ToolFailure: self.init(.unprocessableContent, error.text)
        case is CancellationError:
            self.init(.serviceUnavailable, "the request was cancelled")
        case is ChannelError, is NIOAsyncWriterError:
            self.init(.badRequest, "the connection ended before the request did")
        // What it says may be of files and addresses that are nobody's business.
        default: self.init(.internalServerError, "the server failed; its log says why")
        }
    }

    /// What cannot be had at the moment, with what there is to do.
    static func unavailable(_ failure: ToolFailure) -> Problem {
        overloaded(failure.text, after: 60)
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
        case .newerSchema, .corrupt, .unexpectedValue, .unavailable, .statement:
            Problem(.internalServerError, "the store failed; the log says why")
        }
    }

    private static func problem(of error: SearchError) -> Problem {
        let detail = error.hint.map { "\(error); \($0)" } ?? "\(error)"
        return switch error {
        case .unknownIssue: Problem(.notFound, detail)
        case .ambiguousIssue, .emptyQuery, .pageOutOfRange, .invalidImport:
            Problem(.unprocessableContent, detail)
        case .unexpectedVectors, .file:
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
        case .held: Problem(.conflict, detail, code: "tool_held")
        case .unauthorized: Problem(.badGateway, detail, code: "server_refuses_credential")
        case .refused, .unreachable, .lost, .sessionEnded, .invalid, .tooLarge, .timedOut, .ended:
            Problem(.badGateway, detail, code: "server_failed")
        }
    }

    private static func problem(of error: TrackerError) -> Problem {
        let detail = error.hint.map { "\(error); \($0)" } ?? "\(error)"
        return switch error {
        case .unauthenticated, .forbidden:
            Problem(.badGateway, detail, code: "tracker_refuses_token")
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
