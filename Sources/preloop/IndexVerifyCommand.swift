import ArgumentParser
import Bootstrap
import Domain
import Search

/// `preloop index verify`: compares the indexes with the store.
struct IndexVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare the indexes with the store, row by row."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let result = try await attempt("the indexes cannot be verified") {
            let pipeline = try await installation.pipeline()
            let result = try await pipeline.verify()
            try await pipeline.close()
            return result
        }
        if output.isJSON {
            try Output.result(["index": result.json])
        } else {
            try Output.text(lines(result))
        }
        guard result.isSound else {
            throw CommandFailure(
                .failure,
                "the indexes differ from the store",
                hint: "make them anew with `preloop index rebuild`"
            )
        }
    }

    private func lines(_ result: IndexVerification) -> [String] {
        [
            "\(result.stored) passages in the store, \(result.indexed) in the vector index: "
                + "\(result.missing) missing, \(result.different) different, "
                + "\(result.surplus) too many",
            "\(result.graphFaults) faults in the graph",
            "\(result.lexicalFaults) faults in the lexical index, "
                + "\(result.lexicalSurplus) documents too many",
            "\(result.backlog) texts waiting to be indexed",
        ]
    }
}
