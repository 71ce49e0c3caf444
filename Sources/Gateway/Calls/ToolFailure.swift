import Domain
import HTTPClient
import Search
import Store
import Trackers

/// Why a tool gave no answer, in words that its caller can act on.
package struct ToolFailure: Error, Sendable, Equatable {
    /// What went wrong.
    package var message: String
    /// What to do; nil when there is nothing to do.
    package var hint: String?

    package init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }

    /// What the caller reads.
    package var text: String { hint.map { "\(message). \(capitalized($0))." } ?? "\(message)." }

    /// The one place that says what each module's errors mean to a caller of tools.
    init(cause: any Error) {
        switch cause {
        case let failure as ToolFailure: self = failure
        case let error as SearchError: self.init("\(error)", hint: error.hint)
        case let error as StoreError: self.init("\(error)", hint: error.hint)
        case let error as TrackerError: self.init("\(error)", hint: error.hint)
        case let error as HTTPError: self.init("\(error)")
        case let error as RetryError: self.init("\(error)")
        case let error as UpstreamError: self.init("\(error)", hint: error.hint)
        default: self.init("\(cause)")
        }
    }

    private func capitalized(_ text: String) -> String {
        text.prefix(1).uppercased() + text.dropFirst()
    }
}
