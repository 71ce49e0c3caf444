import Domain
import Embeddings
import Gateway
import HTTPClient
import MCP
import Search
import Store
import Sync
import Trackers
import VectorIndex

/// Runs `body`; what it throws becomes a ``CommandFailure`` that begins with `what`.
///
/// - Parameters:
///   - what: What fails when `body` does, such as `cannot add the tracker`.
///   - body: The work.
/// - Returns: What `body` returns.
/// - Throws: ``CommandFailure``.
package func attempt<Value>(
    _ what: String,
    _ body: () async throws -> Value
) async throws(CommandFailure) -> Value {
    do {
        return try await body()
    } catch {
        throw CommandFailure(what, cause: error)
    }
}

extension CommandFailure {
    /// The one place that says what each module's errors mean to the operator.
    package init(_ what: String, cause: any Error) {
        switch cause {
        case let failure as CommandFailure: self = failure
        case let failure as ToolFailure:
            let status: ExitStatus = failure.kind == .busy ? .tryLater : .failure
            self.init(status, what, reason: failure.message, hint: failure.hint)
        case let error as StoreError:
            self.init(Self.status(of: error), what, reason: "\(error)", hint: error.hint)
        case let error as TrackerError:
            self.init(Self.status(of: error), what, reason: "\(error)", hint: error.hint)
        case let error as EmbeddingError:
            self.init(Self.status(of: error), what, reason: "\(error)", hint: error.hint)
        case let error as SearchError:
            self.init(Self.status(of: error), what, reason: Self.text(of: error), hint: error.hint)
        case let error as SyncError:
            self.init(Self.status(of: error), what, reason: "\(error)", hint: error.hint)
        case let error as VectorIndexError:
            self.init(
                .failure,
                what,
                reason: Self.text(of: error),
                hint: "make the index anew with `preloop index rebuild`"
            )
        case let error as ArchiveError:
            self.init(
                error == .interrupted ? .tryLater : .failure,
                what,
                reason: Self.text(of: error),
                hint: error.hint
            )
        case let error as UpstreamError:
            self.init(.failure, what, reason: "\(error)", hint: error.hint)
        case let error as HTTPError:
            self.init(error == .cancelled ? .interrupted : .failure, what, reason: "\(error)")
        case is CancellationError:
            self.init(.interrupted, what, reason: "interrupted")
        default: self.init(.failure, what, reason: "\(cause)")
        }
    }

    private static func text(of error: SearchError) -> String {
        guard case .file(let path, let code) = error else { return "\(error)" }
        return "cannot use `\(path)`: \(systemMessage(code))"
    }

    private static func text(of error: ArchiveError) -> String {
        guard case .file(let path, let code) = error else { return "\(error)" }
        return "cannot use `\(path)`: \(systemMessage(code))"
    }

    /// What is wrong with an index file, without the names by which programs know it.
    static func text(of error: VectorIndexError) -> String {
        switch error {
        case .snapshotInputOutput(let operation, let code):
            return "index snapshot: \(operation) failed: \(systemMessage(code))"
        case .snapshotIdentity(let expected, let found):
            // The account of the store comes first, the model behind it.
            let owners = [expected, found].map { text in
                String(text.prefix { $0 != "/" })
            }
            return haveEqualBytes(owners[0], owners[1])
                ? "it holds the vectors of a model that is not in use"
                : "it belongs to another store or account"
        default: return "\(error)"
        }
    }

    private static func status(of error: StoreError) -> ExitStatus {
        switch error {
        case .busy, .leaseHeld, .leaseLost, .disconnected, .timedOut: .tryLater
        case .undecryptable: .authentication
        case .cancelled: .interrupted
        case .newerSchema, .corrupt, .diskFull, .readOnly, .constraint, .unexpectedValue,
            .unavailable, .statement:
            .failure
        }
    }

    private static func status(of error: TrackerError) -> ExitStatus {
        switch error {
        case .unauthenticated, .forbidden: .authentication
        case .notFound: .notFound
        case .rateLimited: .tryLater
        case .unavailable, .invalidResponse, .pageTokenExpired, .refused, .outcomeUnknown: .failure
        case .cancelled: .interrupted
        }
    }

    private static func status(of error: SyncError) -> ExitStatus {
        switch error {
        case .unknownTracker, .unknownProject: .notFound
        case .notRemote: .usage
        case .itemKeepsChanging: .tryLater
        }
    }

    private static func status(of error: EmbeddingError) -> ExitStatus {
        switch error {
        case .provider(401?, _, _), .provider(403?, _, _): .authentication
        case .cancelled: .interrupted
        case .missingFile, .invalidModel, .checksumMismatch, .unsupportedModel, .provider: .failure
        }
    }

    private static func status(of error: SearchError) -> ExitStatus {
        switch error {
        case .unknownIssue: .notFound
        case .ambiguousIssue, .emptyQuery, .pageOutOfRange, .invalidImport: .usage
        case .unexpectedVectors, .file, .indexFull, .noMirror, .otherModel: .failure
        case .mirrorBehind: .tryLater
        }
    }
}
