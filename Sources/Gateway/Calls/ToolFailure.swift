import Domain
import HTTPClient
package import MCP
import Search
import Store
import Trackers

/// Why a tool gave no answer, in words that its caller can act on.
package struct ToolFailure: Error, Sendable, Equatable {
    /// What went wrong.
    package var message: String
    /// What to do; nil when there is nothing to do.
    package var hint: String?
    /// For transports that tell kinds apart.
    package var kind: ToolResult.FailureKind

    package init(
        _ message: String,
        hint: String? = nil,
        kind: ToolResult.FailureKind = .invalid
    ) {
        self.message = message
        self.hint = hint
        self.kind = kind
    }

    /// The same as the result of a call.
    var result: ToolResult { .failure(text, kind) }

    /// What the caller reads.
    package var text: String { hint.map { "\(message). \(capitalized($0))." } ?? "\(message)." }

    /// The one place that says what each module's errors mean to a caller of tools.
    init(cause: any Error) {
        switch cause {
        case let failure as ToolFailure: self = failure
        case let error as SearchError:
            self.init("\(error)", hint: error.hint, kind: Self.kind(of: error))
        case let error as StoreError:
            self.init("\(error)", hint: error.hint, kind: Self.kind(of: error))
        case let error as TrackerError:
            self.init("\(error)", hint: error.hint, kind: Self.kind(of: error))
        case let error as UpstreamError:
            self.init("\(error)", hint: error.hint, kind: Self.kind(of: error))
        case let error as HTTPError: self.init("\(error)", kind: .serviceFailed)
        case let error as RetryError: self.init("\(error)", kind: .serviceFailed)
        default: self.init("\(cause)", kind: .broken)
        }
    }

    private static func kind(of error: SearchError) -> ToolResult.FailureKind {
        switch error {
        case .unknownIssue: .notFound
        case .ambiguousIssue, .emptyQuery, .pageOutOfRange, .invalidImport: .invalid
        case .mirrorBehind: .busy
        case .unexpectedVectors, .file, .indexFull, .noMirror, .otherModel: .broken
        }
    }

    private static func kind(of error: StoreError) -> ToolResult.FailureKind {
        switch error {
        case .constraint, .undecryptable: .conflict
        case .busy, .leaseHeld, .leaseLost, .timedOut, .disconnected, .diskFull, .readOnly: .busy
        case .cancelled: .cancelled
        case .newerSchema, .corrupt, .unexpectedValue, .unavailable, .statement: .broken
        }
    }

    private static func kind(of error: UpstreamError) -> ToolResult.FailureKind {
        switch error {
        case .refused: .refused
        case .forbiddenAddress, .misconfigured, .unreachable, .unknownHost, .notStarted,
            .sessionEnded, .invalid, .tooLarge, .ended:
            .serviceFailed
        case .unauthorized: .credentialRefused
        case .lost: .outcomeUnknown
        case .timedOut: .timedOut
        case .suspended, .crowded: .busy
        case .held, .notAsShown: .conflict
        }
    }

    private static func kind(of error: TrackerError) -> ToolResult.FailureKind {
        switch error {
        case .unauthenticated, .forbidden: .credentialRefused
        case .notFound: .notFound
        case .rateLimited: .busy
        case .unavailable, .invalidResponse, .pageTokenExpired: .serviceFailed
        case .refused(let refusal): refusal.reason == .conflict ? .conflict : .refused
        case .outcomeUnknown: .outcomeUnknown
        case .cancelled: .cancelled
        }
    }

    /// A name, such as that of a tool, stays as it is to be typed.
    private func capitalized(_ text: String) -> String {
        guard !text.prefix(while: { $0 != " " }).contains("_") else { return text }
        return text.prefix(1).uppercased() + text.dropFirst()
    }
}
