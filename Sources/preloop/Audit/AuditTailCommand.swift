import ArgumentParser
import Bootstrap
import Domain
import Gateway
import Store

/// `preloop audit tail`: events as they happen.
struct AuditTailCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail",
        abstract: "Print the last events, and new ones as they come, until it is interrupted."
    )

    @Option(help: "How many of the last events; 10.")
    var lines = 10

    @Flag(help: "End when they are printed.")
    var noFollow = false

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    /// Events read at once.
    private static let page = 100
    /// How long one waits for the next look.
    private static let pause: Duration = .seconds(1)

    func validate() throws {
        guard (0...10_000).contains(lines) else {
            throw ValidationError("--lines is from 0 to 10000")
        }
    }

    func run() async throws {
        let settings = try Settings.read()
        let (follows, isJSON, lines) = (!noFollow, output.isJSON, Int64(lines))
        if let server = try remote.server(settings) {
            try await untilInterrupted {
                try await Self.print(from: lines, follows: follows, isJSON: isJSON) { after in
                    let path = "/api/v1/audit/events?after=\(after)&limit=\(Self.page)"
                    let answer = try await server.call("GET", path)
                    return (answer["events"]?.array ?? [], answer["last"]?.integer ?? 0)
                } wait: {
                    try await Task.sleep(for: Self.pause)
                }
            }
            return
        }
        let installation = try await Installation.open(settings)
        let log = try installation.auditLog()
        try await untilInterrupted {
            try await Self.print(from: lines, follows: follows, isJSON: isJSON) { after in
                try await attempt("cannot read the audit") {
                    let rows = try await log.events(after: after, limit: Self.page)
                    return (rows.map(\.json), try await log.lastSequence())
                }
            } wait: {
                let token = try await log.changeToken()
                try await log.waitForEvents(after: token, atMost: Self.pause)
            }
        }
        try await attempt("cannot close the store") { try await installation.close() }
    }

    /// Prints what `read` gives behind a number, which grows.
    private static func print(
        from lines: Int64,
        follows: Bool,
        isJSON: Bool,
        read: (Int64) async throws -> (events: [JSONValue], last: Int64),
        wait: () async throws -> Void
    ) async throws {
        // Nothing is behind the greatest number, so this only tells the last.
        let last = try await read(Int64.max).last
        var after = max(0, last - lines)
        while true {
            let events = try await read(after).events
            var output = Output()
            for event in events {
                if isJSON { try output.line(event) } else { try output.line(AuditText.line(event)) }
            }
            try output.flush()
            after = events.last?["sequence"]?.integer ?? after
            guard events.isEmpty else { continue }
            guard follows else { return }
            try Task.checkCancellation()
            try await wait()
        }
    }
}
