import ArgumentParser
import Bootstrap
import Domain
import Firewall
import Gateway
import Glibc

/// `preloop audit verify`: whether the record is as it was written.
struct AuditVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read the whole chain of hashes and tell what is wrong with it.",
        discussion: """
            Finds events that were changed, removed, added or moved, hashes that were made anew, \
            and an end that was cut off. What nothing in a database can show is that all of it \
            was replaced by an older copy: note the place that `verify` prints now and then, and \
            give it with --anchor.

            With --export a file of `audit export` is verified, without an installation; \
            --public-key says whose signature counts.

            Exit status: 0 when the record is as it was written, 6 when it is not, 1 when it \
            cannot be read.
            """
    )

    @Option(help: "A place noted earlier, NUMBER:HASH: the chain must pass it.")
    var anchor: String?

    @Option(help: "A file that `audit export` has written.")
    var export: String?

    @Option(help: "The key that must have signed the export, in 64 hexadecimal digits.")
    var publicKey: String?

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard anchor.map({ AuditChain.Point(parsing: $0) != nil }) ?? true else {
            throw ValidationError("--anchor is a number, a colon and the 64 digits of a hash")
        }
        guard publicKey == nil || export != nil && key != nil else {
            throw ValidationError("--public-key has 64 digits, and goes with --export")
        }
        guard export == nil || remote.url == nil else {
            throw ValidationError("--export is a file of this machine")
        }
    }

    private var key: AuditKey? {
        publicKey.flatMap({ decodedHexadecimal($0.utf8) }).flatMap { AuditKey($0) }
    }

    func run() async throws {
        let settings = try Settings.read()
        let report: JSONValue
        if let export {
            report = try verify(export)
        } else if let server = try remote.server(settings) {
            let query = anchor.map { "?anchor=\($0)" } ?? ""
            report = try await server.call("GET", "/api/v1/audit/verify\(query)")
        } else {
            let installation = try await Installation.open(settings)
            let log = try installation.auditLog()
            let point = anchor.flatMap { AuditChain.Point(parsing: $0) }
            report = try await interruptible {
                try await attempt("cannot read the audit") {
                    try await log.verify(anchor: point).json
                }
            }
        }
        try print(report)
        guard report["ok"] == true else {
            throw CommandFailure(
                .unsound,
                "the audit is not what was written",
                reason: report["faults"]?[0]?["why"]?.string,
                hint: "keep a copy of the database as it is, and compare with a backup or an export"
            )
        }
    }

    private func verify(_ path: String) throws -> JSONValue {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandFailure(.failure, "cannot read `\(path)`", reason: systemMessage(errno))
        }
        defer { close(descriptor) }
        var lines = InputLines(descriptor)
        do {
            return try AuditExport.verify(
                key: key,
                anchor: anchor.flatMap { AuditChain.Point(parsing: $0) }
            ) {
                guard let line = try lines.next(1).first else { return nil }
                return try JSONParser.parse(line)
            }.json
        } catch let failure as AuditExport.Failure {
            switch failure {
            case .unreadable(let line):
                throw CommandFailure(.failure, "line \(line) of `\(path)` is not of an export")
            case .otherKey(let found):
                throw CommandFailure(.unsound, "`\(path)` was signed by another key, \(found)")
            }
        } catch let error as JSONError {
            throw CommandFailure(.failure, "`\(path)` is not an export", reason: "\(error)")
        }
    }

    private func print(_ report: JSONValue) throws {
        guard !output.isJSON else {
            try Output.result(report.object ?? JSONObject())
            return
        }
        let count = report["events"]?.integer ?? 0
        var lines: [String] = []
        if let first = report["first"]?.integer, let last = report["last"]?.integer {
            lines.append("\(counted(count, "event")), \(first) to \(last)")
        } else {
            lines.append("no events")
        }
        if let removed = report["removed_through"]?.integer, removed > 0 {
            lines.append("events up to \(removed) were removed by their age")
        }
        for fault in report["faults"]?.array ?? [] {
            lines.append("WRONG: \(fault["why"]?.string ?? "")")
        }
        if report["more_faults"] == true { lines.append("there may be more") }
        if let sequence = report["end"]?["sequence"]?.integer,
            let hash = report["end"]?["hash"]?.string
        {
            lines.append("end: \(sequence):\(hash)")
            if export != nil, publicKey == nil {
                lines.append("by the key in the export itself; --public-key says who it must be")
            }
            lines.append("signed by key \(report["end"]?["key_id"]?.string ?? "")")
        }
        if report["ok"] == true { lines.append("everything is as it was written") }
        try Output.text(lines)
    }
}
