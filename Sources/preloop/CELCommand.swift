import ArgumentParser
import Bootstrap
import Firewall

/// `preloop cel --jsonl`: expressions in, values out, line by line.
struct CELCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cel",
        abstract: "Evaluate CEL expressions from standard input.",
        discussion: """
            Each line is an object with `expr`, and may have `id`, `bindings` (name to typed \
            value), `type_env`, `container`, `disable_check`, `disable_macros` and `check_only`. \
            A line of {"id":…} with `value`, `type` or `error` answers it, in order. A typed value \
            is {"t":"int","v":"1"}; numbers are text. Needs no installation.
            """
    )

    /// Lines answered before what is there is written out.
    private static let batchSize = 256

    @Flag(help: "One JSON object a line; the only form there is.")
    var jsonl = false

    func validate() throws {
        guard jsonl else { throw ValidationError("say --jsonl") }
    }

    func run() async throws {
        var input = InputLines()
        var output = Output()
        while true {
            let lines = try await attempt("cannot read standard input") {
                try input.next(Self.batchSize)
            }
            guard !lines.isEmpty else { break }
            for line in lines { try output.line(ExpressionRow.answer(line)) }
            try output.flush()
        }
    }
}
