import Domain
import Glibc

/// What the subcommand `pipeline` takes.
struct PipelineOptions {
    /// The tracker service's base URL.
    var url = ""
    var kind = TrackerKind.github
    var deployment = TrackerDeployment.cloud
    /// For Jira Cloud.
    var user: String?
    /// The variable that holds the token; a service that asks for none gets any text.
    var tokenVariable = "PRELOOP_BENCH_TOKEN"
    /// Patterns of projects; everything the token sees when empty.
    var includes: [String] = []
    /// The model's directory.
    var model = ""
    /// An empty directory for the installation.
    var directory = ""
    /// Scans after the first.
    var rescans = 1

    /// The arguments, as the program's usage text shows them.
    static let synopsis = """
        --url BASE --model DIRECTORY --directory EMPTY-DIRECTORY
                     [--kind github|gitlab|jira] [--deployment cloud|server] [--user U]
                     [--token-env NAME] [--include PATTERN]… [--rescans N]
        """

    /// Reads arguments.
    ///
    /// - Throws: ``BenchmarkError/badArgument(_:)``.
    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { throw BenchmarkError.badArgument(name) }
            switch name {
            case "--url": url = value
            case "--kind": kind = try Self.named(value, name)
            case "--deployment": deployment = try Self.named(value, name)
            case "--user": user = value
            case "--token-env": tokenVariable = value
            case "--include": includes.append(value)
            case "--model": model = value
            case "--directory": directory = value
            case "--rescans":
                guard let count = Int(value), count >= 0 else {
                    throw BenchmarkError.badArgument("\(name) \(value)")
                }
                rescans = count
            default: throw BenchmarkError.badArgument("\(name) \(value)")
            }
        }
        for (name, value) in [("--url", url), ("--model", model), ("--directory", directory)]
        where value.isEmpty {
            throw BenchmarkError.badArgument("\(name) is missing")
        }
    }

    private static func named<Value: RawRepresentable<String>>(
        _ text: String,
        _ option: String
    ) throws -> Value {
        guard let value = Value(rawValue: text) else {
            throw BenchmarkError.badArgument("\(option) \(text)")
        }
        return value
    }

    /// The token of the environment.
    var token: Secret {
        guard let text = unsafe getenv(tokenVariable) else { return Secret("none") }
        return Secret(unsafe String(cString: text))
    }
}
