import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop audit export`: everything, with what proves it.
struct AuditExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write all events with their hashes and the signed checkpoints, one a line.",
        discussion: """
            The first line has the key that signs; the last one the signed end. docs/audit.md \
            says how hashes and signatures are made, so that others can verify them.
            """
    )

    @Flag(help: "One JSON object a line, the only form there is.")
    var jsonl = false

    @Option(help: "The file to write; standard output when not given.")
    var out: String?

    func run() async throws {
        let installation = try await Installation.open()
        let log = try installation.auditLog()
        let path = out
        try await interruptible {
            try await attempt("cannot write the audit") {
                if let path {
                    var file = try ReplacedFile(path: path)
                    try await log.export { try file.output.line($0) }
                    try file.commit()
                } else {
                    var output = Output()
                    try await log.export { try output.line($0) }
                    try output.flush()
                }
            }
        }
        try await attempt("cannot close the store") { try await installation.close() }
    }
}
