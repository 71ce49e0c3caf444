import ArgumentParser
import Bootstrap
import Search

/// `preloop index rebuild`: makes the indexes anew from the store.
struct IndexRebuildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebuild",
        abstract: "Make the indexes anew from the store.",
        discussion: "Vectors are read from the store; only what is not embedded yet is embedded."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let report = try await attempt("the indexes were not rebuilt") {
            let pipeline = try await installation.pipeline()
            let report = try await pipeline.rebuild()
            try await pipeline.close()
            try await installation.close()
            return report
        }
        guard !output.isJSON else {
            try Output.result(["index": report.json])
            return
        }
        try Output.text([
            "Rebuilt the indexes; embedded \(counted(report.embedded, "passage")), "
                + "compared \(counted(report.compared, "issue"))."
        ])
    }
}
