import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop tools metrics`: the compliance metrics in use, in the form of their file.
struct ToolsMetricsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Print the compliance metrics in use, in the form of their file.",
        discussion: """
            An installation's own are in $PRELOOP_HOME/compliance.json; begin with \
            `preloop tools metrics > compliance.json`, and move the edited file there.
            """
    )

    func run() async throws {
        let installation = try await Installation.open()
        let metrics = try await attempt("cannot read the metrics") { try installation.metrics() }
        try Output.text([metrics.document.serializedText()])
    }
}
