package import Domain
import Embeddings
import Glibc
import LinearAlgebra
import Search
import Store

/// What one check found.
package struct Finding: Sendable, Equatable {
    /// What was looked at.
    package var subject: String
    /// How it is.
    package var grade: Grade
    /// What was found.
    package var detail: String
    /// What to do; nil when there is nothing to do.
    package var advice: String?
    /// Whose it is when that is another account than the installation's own; the subject names it.
    package var account: AccountID?

    /// How something is.
    package enum Grade: String, Sendable {
        case good = "ok"
        /// It works, but not as well or as safely as it should.
        case doubtful = "warning"
        /// It was never put there.
        case missing
        case broken

        /// Whether the installation cannot be used as it is.
        package var isFailure: Bool {
            switch self {
            case .good, .doubtful: false
            case .missing, .broken: true
            }
        }
    }

    /// The same thing of another account than the installation's own.
    func of(_ account: AccountID, called title: String) -> Finding {
        var finding = self
        finding.subject += " of \(title)"
        finding.account = account
        return finding
    }
}

/// Looks at an installation from the outside in; a check that cannot be made does not stop the
/// others.
package struct Examination: Sendable {
    private let settings: Settings
    private let home: HomeDirectory

    /// An examination of what the environment names.
    package init(settings: Settings) {
        self.settings = settings
        home = HomeDirectory(settings.home)
    }

    /// Makes all checks.
    package func findings() async -> [Finding] {
        var findings = [mathematics, directory]
        guard home.exists || settings.databaseAddress != nil else {
            findings.append(
                Finding(
                    subject: "database",
                    grade: .broken,
                    detail: "there is none",
                    advice: "make the installation with `preloop init`"
                )
            )
            return findings
        }
        if settings.databaseAddress == nil {
            findings.append(mode(of: home.database, subject: "database file"))
        }
        do {
            let installation = try await Installation.open(settings)
            findings.append(await schema(of: installation))
            findings.append(await integrity(of: installation))
            findings.append(contentsOf: await secrets(of: installation))
            findings.append(await model(of: installation))
            if settings.vectorBackend == .memory {
                findings.append(await installation.examineSnapshot())
            }
            if settings.databaseAddress != nil {
                findings.append(await installation.examineMirror())
                findings += await installation.examineMirrorIndexes()
            }
            findings.append(await installation.examineLexicalIndex())
            findings += await others(beside: installation)
        } catch {
            findings.append(broken("database", error))
        }
        return findings
    }

    /// Compares every copy of the vectors of every account with the store; nil where the
    /// installation cannot be opened, of which ``findings()`` tells.
    package func vectors(repairing isRepairing: Bool) async -> AccountVectors? {
        // What keeps it from being opened is among the findings.
        guard let installation = try? await Installation.open(settings) else { return nil }
        return await AccountVectors(installation, repairing: isRepairing)
    }

    /// What is wrong with the indexes of the other accounts; there may be many, so that nothing is
    /// said of those in order.
    private func others(beside installation: Installation) async -> [Finding] {
        var findings: [Finding] = []
        do {
            for account in try await installation.otherAccounts() {
                let other = installation.viewed(by: account)
                let wrong = await other.examineIndexes().filter { $0.grade != .good }
                guard !wrong.isEmpty else { continue }
                let title = await other.accountTitle()
                findings += wrong.map { $0.of(account, called: title) }
            }
        } catch {
            findings.append(broken("accounts", error))
        }
        return findings
    }

    // MARK: - Machine and files

    private var mathematics: Finding {
        switch BLAS.implementation {
        case .openBLAS(let configuration):
            Finding(subject: "BLAS", grade: .good, detail: configuration)
        case .other:
            Finding(
                subject: "BLAS",
                grade: .doubtful,
                detail: "the library behind libblas is not OpenBLAS; encoding is many times slower",
                advice: Self.advice
            )
        case .absent:
            Finding(
                subject: "BLAS",
                grade: .doubtful,
                detail: "there is no libblas.so.3; encoding a query is a hundred times slower",
                advice: Self.advice
            )
        }
    }

    private static let advice =
        "install OpenBLAS, for instance the package libopenblas0-pthread"

    private var directory: Finding {
        guard let mode = HomeDirectory.mode(of: home.path) else {
            return Finding(
                subject: "directory",
                grade: .broken,
                detail: "`\(home.path)` does not exist",
                advice: "make the installation with `preloop init`, or set `PRELOOP_HOME`"
            )
        }
        guard mode & 0o077 == 0 else {
            return Finding(
                subject: "directory",
                grade: .doubtful,
                detail: "other users may look into `\(home.path)` (mode \(octal(mode)))",
                advice: "chmod 700 '\(home.path)'"
            )
        }
        guard unsafe access(home.path, W_OK) == 0 else {
            return Finding(
                subject: "directory",
                grade: .broken,
                detail: "`\(home.path)` is not writable",
                advice: "give this user the right to write it"
            )
        }
        return Finding(subject: "directory", grade: .good, detail: home.path)
    }

    private func mode(of path: String, subject: String) -> Finding {
        guard let mode = HomeDirectory.mode(of: path) else {
            return Finding(
                subject: subject,
                grade: .broken,
                detail: "`\(path)` does not exist",
                advice: "put it back from a backup"
            )
        }
        guard mode & 0o077 == 0 else {
            return Finding(
                subject: subject,
                grade: .doubtful,
                detail: "other users may read `\(path)` (mode \(octal(mode)))",
                advice: "chmod 600 '\(path)'"
            )
        }
        return Finding(subject: subject, grade: .good, detail: "mode \(octal(mode))")
    }

    // MARK: - Store

    private func schema(of installation: Installation) async -> Finding {
        do {
            let number = try await installation.store.database.read { connection in
                try SchemaTable.current(on: connection)
            }
            return Finding(subject: "schema", grade: .good, detail: "number \(number)")
        } catch {
            return broken("schema", error)
        }
    }

    private func integrity(of installation: Installation) async -> Finding {
        do {
            let (problems, dialect) = try await installation.store.database.read { connection in
                (try SQLiteCheck.problems(on: connection), connection.dialect)
            }
            guard !problems.isEmpty else {
                let detail =
                    switch dialect {
                    case .sqlite: "sound"
                    case .postgres: "answers; PostgreSQL checks its own files"
                    }
                return Finding(subject: "database", grade: .good, detail: detail)
            }
            return Finding(
                subject: "database",
                grade: .broken,
                detail: problems.joined(separator: "; "),
                advice: StoreError.corrupt(detail: "").hint
            )
        } catch {
            return broken("database", error)
        }
    }

    /// The key, and whether every stored credential opens with it.
    private func secrets(of installation: Installation) async -> [Finding] {
        var findings: [Finding] = []
        if settings.secretKey == nil {
            findings.append(mode(of: SecretKeyFile(home: home.path).path, subject: "key file"))
        }
        do {
            let box = try installation.secretBox()
            let account = installation.store.account
            let trackers = try await installation.store.read { connection, account in
                try TrackerTable.list(account: account, on: connection).map { tracker in
                    (
                        tracker,
                        try TrackerTable.credential(
                            of: tracker.id,
                            account: account,
                            on: connection
                        )
                    )
                }
            }
            for (tracker, sealed) in trackers {
                guard let sealed, !sealed.bytes.isEmpty else { continue }
                findings.append(
                    self.tracker(tracker) {
                        _ = try box.open(sealed, for: .tracker(tracker.id, account: account))
                    }
                )
            }
        } catch {
            findings.append(broken("key", error))
        }
        return findings
    }

    private func tracker(_ tracker: Tracker, opens: () throws -> Void) -> Finding {
        let subject = "tracker \(tracker.name)"
        do {
            try opens()
        } catch {
            var finding = broken(subject, error)
            finding.advice = Installation.keyAdvice(for: tracker.name)
            return finding
        }
        guard tracker.status != .invalid else {
            return Finding(
                subject: subject,
                grade: .doubtful,
                detail: tracker.statusDetail ?? "the service refused the token",
                advice: "make a new token; `preloop trackers update \(tracker.name)` stores it"
            )
        }
        // Nobody asks the service here: only that the token is there, and opens, is known.
        let test = "`preloop trackers test \(tracker.name)` asks the service"
        guard tracker.status == .valid, let checkedAt = tracker.checkedAt else {
            return Finding(
                subject: subject,
                grade: .good,
                detail: "token stored, never tried out; \(test)"
            )
        }
        return Finding(
            subject: subject,
            grade: .good,
            detail: "token stored, valid on \(checkedAt.iso8601); \(test) again"
        )
    }

    // MARK: - Model

    private func model(of installation: Installation) async -> Finding {
        do {
            if case .local(directory: nil) = settings.embedding {
                let name = Installation.defaultModelName
                guard HomeDirectory.mode(of: "\(home.models)/\(name)") != nil else {
                    return Finding(
                        subject: "model",
                        grade: .missing,
                        detail: "`\(name)` has not been fetched yet",
                        advice: "get it with `preloop models fetch`"
                    )
                }
                // Before it is loaded: a file that is cut short should not be called anything else.
                try await ModelFetch(home: home.path).check(ModelDigest(home: home).model)
            }
            let embedder = try await installation.embedder()
            return Finding(
                subject: "model",
                grade: .good,
                detail: "\(embedder.model.name), dimension \(embedder.model.dimension), "
                    + "revision \(embedder.model.revision.prefix(12))"
            )
        } catch {
            return broken("model", error)
        }
    }

    private func broken(_ subject: String, _ error: any Error) -> Finding {
        let failure = CommandFailure("", cause: error)
        let what = failure.what.isEmpty ? nil : failure.what
        return Finding(
            subject: subject,
            grade: .broken,
            detail: [what, failure.reason].compactMap { $0 }.joined(separator: ": "),
            advice: failure.hint
        )
    }
}

private func octal(_ mode: mode_t) -> String { String(mode, radix: 8) }
