package import Firewall

/// Why a policy cannot be changed or shown.
package enum PolicyError: Error, Sendable, Equatable {
    /// The text has errors.
    case invalid([PolicyProblem])
    /// Somebody has changed the policy since; `current` is in force now.
    case changedMeanwhile(expected: Int64, current: Int64)
    case unknownVersion(Int64)
    /// There is no policy yet.
    case none
    /// No tool or rule has this identifier.
    case unknownEntry(id: String)
    /// Something like it is there already.
    case duplicate(name: String)
    /// Rules are not those that are there.
    case incompleteOrder
    /// What was given cannot be read.
    case malformed(what: String)
}

extension PolicyError: CustomStringConvertible {
    /// What is wrong, without advice.
    package var description: String {
        switch self {
        case .invalid(let problems):
            let errors = problems.filter { $0.severity == .error }
            let more = errors.count > 1 ? " (and \(errors.count - 1) more)" : ""
            return "the policy has errors: \(errors.first?.description ?? "unknown")\(more)"
        case .changedMeanwhile(let expected, let current):
            return "version \(current) of the policy is in force, not \(expected)"
        case .unknownVersion(let number): return "there is no version \(number) of the policy"
        case .none: return "there is no policy yet"
        case .unknownEntry(let id): return "the policy has nothing with the id `\(id)`"
        case .duplicate(let name): return "`\(name)` is in the policy already"
        case .incompleteOrder: return "the order does not name each rule of the tool once"
        case .malformed(let what): return what
        }
    }

    /// What to do; nil when it is plain.
    package var hint: String? {
        switch self {
        case .changedMeanwhile: "look at what is there now, and decide anew"
        case .none: "apply one with `preloop policy apply FILE`"
        default: nil
        }
    }
}
