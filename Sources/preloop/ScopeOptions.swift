import ArgumentParser
import Domain

/// `--include` and `--exclude`: what of a tracker is read.
struct ScopeOptions: ParsableArguments {
    @Option(help: "Read what matches this pattern; may be given several times.")
    var include: [String] = []

    @Option(help: "Leave out what matches this pattern; may be given several times.")
    var exclude: [String] = []

    func validate() throws {
        for pattern in include + exclude {
            if let fault = Self.fault(of: pattern) {
                throw ValidationError("the pattern `\(pattern)` \(fault)")
            }
        }
    }

    /// Why a pattern can match nothing; nil when it can.
    static func fault(of pattern: String) -> String? {
        guard (1...1000).contains(pattern.utf8.count) else { return "has not from 1 to 1000 bytes" }
        guard !pattern.contains("://") else {
            return "is a URL; a pattern is a path such as acme/*"
        }
        guard pattern.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F }) else {
            return "holds a space or a control character"
        }
        // Other programs give these a meaning; paths of projects never hold them.
        let foreign = Set("[]{}\\!,|".utf8)
        guard !pattern.utf8.contains(where: foreign.contains) else {
            return "holds a character that is neither of a path nor one of *, ** and ?"
        }
        let parts = pattern.utf8.split(separator: 0x2F, omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty }) else {
            return "begins or ends with a slash, or has two together"
        }
        return nil
    }

    /// The rules in the order given, those that include first.
    var rules: [ScopeRule] {
        include.map { ScopeRule(action: .include, pattern: $0) }
            + exclude.map { ScopeRule(action: .exclude, pattern: $0) }
    }
}
