import ArgumentParser
import Bootstrap
import Domain

/// `preloop doctor`: looks at everything that can be wrong and says what to do about it.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Examine the installation.",
        discussion: """
            Reads a whole SQLite database, and asks no tracker: of a token it says that it is \
            stored, and what the tracker said when it was asked last. Ends with 1 when something \
            is broken or missing. With --vectors, every vector in the mirror (pgvector) and in \
            the snapshot of the index is compared with the store's; --repair mends what differs. \
            Of accounts beside the installation's own it looks at the indexes, and with --vectors \
            at the vectors, and names the account.
            """
    )

    @Flag(help: "Compare every copy of the vectors with the store, row by row.")
    var vectors = false

    @Flag(help: "Mend what --vectors finds, from the store.")
    var repair = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard vectors || !repair else { throw ValidationError("--repair goes with --vectors") }
    }

    func run() async throws {
        let examination = Examination(settings: try Settings.read())
        var compared: AccountVectors?
        // What is mended is looked at after that.
        if repair { compared = await examination.vectors(repairing: true) }
        var findings = await examination.findings()
        if vectors, !repair { compared = await examination.vectors(repairing: false) }
        findings += compared?.findings ?? []
        if output.isJSON {
            var result = JSONObject()
            result["ok"] = .bool(!findings.contains(where: \.grade.isFailure))
            result["checks"] = .array(findings.map(\.json))
            if let compared { result["vectors"] = compared.json }
            try Output.result(result)
        } else {
            try Output.text(findings.flatMap(lines))
        }
        guard !findings.contains(where: \.grade.isFailure) else {
            throw ExitCode(ExitStatus.failure.rawValue)
        }
    }

    private func lines(_ finding: Finding) -> [String] {
        let word =
            switch finding.grade {
            case .good: "ok     "
            case .doubtful: "warning"
            case .missing: "MISSING"
            case .broken: "BROKEN "
            }
        var lines = ["\(word)  \(finding.subject): \(singleLine(finding.detail))"]
        if let advice = finding.advice { lines.append("         to do: \(singleLine(advice))") }
        return lines
    }
}
