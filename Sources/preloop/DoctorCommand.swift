import ArgumentParser
import Bootstrap
import Domain

/// `preloop doctor`: looks at everything that can be wrong and says what to do about it.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Examine the installation.",
        discussion: "Reads the whole database. Ends with 1 when something is broken."
    )

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let findings = await Examination(settings: try Settings.read()).findings()
        if output.isJSON {
            try Output.result([
                "ok": .bool(!findings.contains { $0.grade == .broken }),
                "checks": .array(findings.map(\.json)),
            ])
        } else {
            try Output.text(findings.flatMap(lines))
        }
        guard !findings.contains(where: { $0.grade == .broken }) else {
            throw ExitCode(ExitStatus.failure.rawValue)
        }
    }

    private func lines(_ finding: Finding) -> [String] {
        let word =
            switch finding.grade {
            case .good: "ok     "
            case .doubtful: "warning"
            case .broken: "BROKEN "
            }
        var lines = ["\(word)  \(finding.subject): \(singleLine(finding.detail))"]
        if let advice = finding.advice { lines.append("         to do: \(singleLine(advice))") }
        return lines
    }
}
