import ArgumentParser
import Domain

/// `--include` and `--exclude`: what of a tracker is read.
struct ScopeOptions: ParsableArguments {
    @Option(help: "Read what matches this pattern; may be given several times.")
    var include: [String] = []

    @Option(help: "Leave out what matches this pattern; may be given several times.")
    var exclude: [String] = []

    func validate() throws {
        guard (include + exclude).allSatisfy({ !$0.isEmpty && $0.utf8.count <= 1000 }) else {
            throw ValidationError("a pattern has from 1 to 1000 bytes")
        }
    }

    /// The rules in the order given, those that include first.
    var rules: [ScopeRule] {
        include.map { ScopeRule(action: .include, pattern: $0) }
            + exclude.map { ScopeRule(action: .exclude, pattern: $0) }
    }
}
