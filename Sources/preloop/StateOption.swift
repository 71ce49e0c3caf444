import ArgumentParser
import Domain

/// `--state`.
enum StateOption: String, CaseIterable, ExpressibleByArgument {
    case open
    case closed
    case all

    /// The state to filter by; nil for all.
    var issueState: IssueState? {
        switch self {
        case .open: .open
        case .closed: .closed
        case .all: nil
        }
    }
}
