package import Domain
import Store

/// Every copy of the vectors of every account compared with the store, one account after the other.
///
/// Of an account only the counts are kept, and what was found of it.
package struct AccountVectors: Sendable {
    /// What was found, for people, of the installation's own account first.
    ///
    /// Of another one is told what it has vectors of, or what is wrong.
    package private(set) var findings: [Finding] = []

    /// The counts by name: those of the installation's own account, and under `accounts` those of
    /// each that has vectors.
    package var json: JSONValue {
        [
            "mirror": mirror, "index": index, "snapshot": snapshot,
            "accounts": .array(accounts),
        ]
    }

    private var mirror = JSONValue.null
    private var index = JSONValue.null
    private var snapshot = JSONValue.null
    private var accounts: [JSONValue] = []
    /// What was said of the database itself, which every account has in common.
    private var said: [Finding] = []
    /// The lengths of vectors whose index was made, or was tried to make.
    private var tried: Set<Int> = []
    /// The lengths of vectors whose index was wrong and made anew.
    private var remade: Set<Int> = []

    /// Compares, and repairs from the store when asked to; what cannot be looked at is a finding.
    package init(_ installation: Installation, repairing isRepairing: Bool) async {
        let own = await VectorExamination(installation, repairing: isRepairing)
        (mirror, index, snapshot) = (own.mirrorJSON, own.indexJSON, own.snapshotJSON)
        findings = own.entries.map(\.finding)
        said = own.entries.filter(\.isOfDatabase).map(\.finding)
        accounts = [Self.json(own, installation.store.account)]
        (tried, remade) = (own.tried, own.remade)
        do {
            for account in try await installation.otherAccounts() {
                await examine(installation.viewed(by: account), isRepairing)
            }
        } catch {
            let failure = CommandFailure("the others cannot be looked at", cause: error)
            findings.append(
                Finding(
                    subject: "accounts",
                    grade: .broken,
                    detail: [failure.what, failure.reason].compactMap { $0 }
                        .joined(separator: ": "),
                    advice: failure.hint
                )
            )
        }
    }

    private mutating func examine(_ other: Installation, _ isRepairing: Bool) async {
        let examination = await VectorExamination(
            other,
            repairing: isRepairing,
            without: tried,
            remade: remade
        )
        tried.formUnion(examination.tried)
        remade.formUnion(examination.remade)
        let isWrong = examination.entries.contains { entry in
            !entry.isOfDatabase && entry.finding.grade != .good
        }
        guard examination.isIndexed || isWrong else { return }
        let account = other.store.account
        let title = await other.accountTitle()
        for entry in examination.entries {
            if entry.isOfDatabase {
                guard !said.contains(entry.finding) else { continue }
                said.append(entry.finding)
                findings.append(entry.finding)
            } else {
                findings.append(entry.finding.of(account, called: title))
            }
        }
        if examination.isIndexed { accounts.append(Self.json(examination, account)) }
    }

    private static func json(_ found: VectorExamination, _ account: AccountID) -> JSONValue {
        [
            "account": .integer(account.rawValue), "mirror": found.mirrorJSON,
            "index": found.indexJSON, "snapshot": found.snapshotJSON,
        ]
    }
}
