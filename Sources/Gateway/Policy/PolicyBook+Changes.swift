import Crypto
package import Domain
package import Firewall
package import Store
import Synchronization

/// What applying a text would make of the policy.
package struct PolicyProposal: Sendable {
    /// The version it would replace; 0 for none.
    package var base: Int64
    /// The policy in force; empty when there is none.
    package var before: PolicyDocument
    package var after: PolicyDocument
    /// As it would be kept.
    package var text: String
    package var changes: [PolicyChange]
    package var warnings: [PolicyProblem]

    /// Whether there would be a new version.
    package var isChange: Bool { !changes.isEmpty || base == 0 }
}

/// What a change of the policy has made.
package struct PolicyApplication: Sendable {
    /// The version in force now.
    package var version: PolicyTable.Version
    /// Whether it is a new one.
    package var isNew: Bool
    package var changes: [PolicyChange]
    package var warnings: [PolicyProblem]
}

extension PolicyBook {
    /// What a change is meant to do.
    package struct Intent: Sendable {
        /// Whether what the text lacks is removed.
        package var prunes = false
        /// The version the change was made for; nil for whichever is there.
        package var expected: Int64?
        package var author: String
        package var origin = "apply"
        package var tag: String?

        package init(author: String, prunes: Bool = false, expected: Int64? = nil) {
            self.author = author
            self.prunes = prunes
            self.expected = expected
        }
    }

    // MARK: - Reading

    /// Reads a text with what the account has besides.
    package func validate(_ text: String) async throws -> PolicyReading {
        var outside = try await surroundings()
        let present = await tools()
        // Some there always are; where none are given nobody knows.
        outside.tools = present.isEmpty ? nil : present
        if let (document, _) = try await current() {
            outside.workflows.formUnion(document.workflows.map(\.name))
            outside.servers.formUnion(document.servers.map(\.name))
            outside.hasDefaultWorkflow =
                outside.hasDefaultWorkflow || document.defaultWorkflow != nil
        }
        return PolicyDocument.read(text, outside: outside)
    }

    /// The servers that rules may name: those there are, and those of the policy in force.
    package func serverNames() async throws -> Set<String> {
        var names = try await surroundings().servers
        if let (document, _) = try await current() {
            names.formUnion(document.servers.map(\.name))
        }
        return names
    }

    /// The policy in force with its text; nil when there is none.
    package func current() async throws -> (document: PolicyDocument, row: PolicyTable.Row)? {
        let row = try await store.read { connection, account in
            let number = try PolicyTable.current(account: account, on: connection)
            return try PolicyTable.find(number, account: account, on: connection)
        }
        guard let row else { return nil }
        return (try document(of: row), row)
    }

    /// A version with its text.
    package func version(_ number: Int64) async throws -> PolicyTable.Row {
        let row = try await store.read { connection, account in
            try PolicyTable.find(number, account: account, on: connection)
        }
        guard let row else { throw PolicyError.unknownVersion(number) }
        return row
    }

    /// Versions, the latest first.
    package func versions(
        before: Int64? = nil,
        limit: Int
    ) async throws -> [PolicyTable.Version] {
        try await store.read { connection, account in
            try PolicyTable.list(before: before, limit: limit, account: account, on: connection)
        }
    }

    /// Compiles a document as if it were in force.
    ///
    /// - Parameters:
    ///   - document: What to decide by.
    ///   - version: Its number.
    ///   - knownTools: Tools that are not newer than it, as `server/name`; nil for those there are.
    /// - Returns: What decides by it.
    /// - Throws: ``PolicyError/invalid(_:)`` with what cannot be compiled.
    package func compiled(
        _ document: PolicyDocument,
        version: Int64,
        knownTools: [String]? = nil
    ) async throws -> CompiledPolicy {
        let known: [String]
        if let knownTools {
            known = knownTools
        } else {
            known = await tools().map(\.description)
        }
        let outside = await surroundingsOrNone()
        do throws(PolicyProblem) {
            return try CompiledPolicy(
                document,
                version: version,
                surroundings: outside,
                knownTools: known
            )
        } catch {
            throw PolicyError.invalid([error])
        }
    }

    private func surroundingsOrNone() async -> PolicySurroundings {
        // Without them fewer approvals can be had, which is what an error should do.
        (try? await surroundings()) ?? PolicySurroundings()
    }

    /// What a change begins with: a policy that cannot be read may be replaced as a whole.
    private func document(
        of row: PolicyTable.Row,
        _ intent: Intent
    ) throws(PolicyError) -> PolicyDocument {
        do throws(PolicyError) {
            return try document(of: row)
        } catch {
            guard intent.prunes else { throw error }
            return PolicyDocument(name: "")
        }
    }

    private func document(of row: PolicyTable.Row) throws(PolicyError) -> PolicyDocument {
        var outside = PolicySurroundings()
        outside.trustsNames = true
        let reading = PolicyDocument.read(row.text, outside: outside)
        guard let document = reading.document else { throw .invalid(reading.problems) }
        return document
    }

    // MARK: - Changing

    /// What applying a text would do.
    package func propose(_ text: String, prunes: Bool) async throws -> PolicyProposal {
        let current = try await current()
        return try proposal(text, prunes, over: current, try await surroundings())
    }

    /// Puts a text in force, merged with what is there or in its place.
    ///
    /// - Throws: ``PolicyError``; nothing has changed then.
    package func apply(_ text: String, _ intent: Intent) async throws -> PolicyApplication {
        try await apply(text, intent, knowing: .present)
    }

    private func apply(
        _ text: String,
        _ intent: Intent,
        knowing tools: KnownTools
    ) async throws -> PolicyApplication {
        let outside = try await surroundings()
        return try await change(intent, knowing: tools) { [self] current in
            try proposal(text, intent.prunes, over: current, outside)
        }
    }

    /// Puts what an earlier version says in force again, as a new version.
    ///
    /// Tools that were new for that version are new again.
    package func rollBack(to number: Int64, _ intent: Intent) async throws -> PolicyApplication {
        let row = try await version(number)
        var intent = intent
        (intent.prunes, intent.origin) = (true, "rollback")
        return try await apply(row.text, intent, knowing: .listed(row.knownTools))
    }

    /// Changes the document in force by one edit; tools that were new for it stay so.
    package func edit<Value: Sendable>(
        _ intent: Intent,
        _ edit: @escaping @Sendable (inout PolicyDocument) throws -> Value
    ) async throws -> (application: PolicyApplication, value: Value) {
        let outside = try await surroundings()
        var intent = intent
        intent.origin = "edit"
        let result = Mutex<Value?>(nil)
        let application = try await change(intent, knowing: .kept) { [self] current in
            var document = current?.document ?? PolicyDocument(name: "policy")
            let value = try edit(&document)
            result.withLock { $0 = value }
            return try proposal(document.text, true, over: current, outside)
        }
        guard let value = result.withLock({ $0 }) else {
            preconditionFailure("an edit that was applied has given its value")
        }
        return (application, value)
    }

    /// Names a version, or takes its name away.
    ///
    /// - Parameters:
    ///   - number: Of the version.
    ///   - tag: Its new name; nil for none.
    ///   - author: Who does it, for the record.
    /// - Throws: ``PolicyError/unknownVersion(_:)``, and what keeps it from being recorded: nothing
    ///   has changed then.
    package func tag(_ number: Int64, _ tag: String?, by author: String) async throws {
        let now = store.clock.now()
        try await store.writeOutsideFeed { [self] connection, account in
            guard
                let version = try PolicyTable.lock(number, account: account, on: connection)
            else { throw PolicyError.unknownVersion(number) }
            // What changes nothing is none, as for the policy itself.
            guard version.tag.map({ Array($0.utf8) }) != tag.map({ Array($0.utf8) }) else { return }
            _ = try PolicyTable.tag(number, tag, account: account, on: connection)
            guard let audit = try audit?() else { return }
            let event = AuditTable.Event(
                version,
                taggedAs: tag,
                by: author,
                at: now,
                audit.keys.redactor
            )
            try audit.append([event], at: now, account: account, on: connection)
        }
        refresh()
    }

    /// Which tools a new version knows; others are newer than the policy.
    private enum KnownTools: Sendable {
        /// Those there are: whoever applies a policy means them.
        case present
        /// Those of the version before; those there are for the first one.
        case kept
        /// Those of an earlier version.
        case listed([String])
    }

    /// Writes what `make` proposes over the version in force, all in one transaction.
    private func change(
        _ intent: Intent,
        knowing tools: KnownTools,
        _ make:
            @escaping @Sendable ((document: PolicyDocument, row: PolicyTable.Row)?) throws
            -> PolicyProposal
    ) async throws -> PolicyApplication {
        let present = await self.tools().map(\.description).sorted()
        let now = store.clock.now()
        let (row, proposal) = try await store.write { [self] connection, account in
            let base = try PolicyTable.current(account: account, on: connection)
            if let expected = intent.expected, expected != base {
                throw PolicyError.changedMeanwhile(expected: expected, current: base)
            }
            let row = try PolicyTable.find(base, account: account, on: connection)
            let proposal = try make(try row.map { (try document(of: $0, intent), $0) })
            if let row, !proposal.isChange { return (row, proposal) }
            let version = PolicyTable.Version(
                number: base + 1,
                name: proposal.after.metadata.name,
                digest: Array(SHA256.hash(data: Array(proposal.text.utf8))),
                author: intent.author,
                origin: intent.origin,
                createdAt: now,
                tag: intent.tag
            )
            let known =
                switch tools {
                case .present: present
                case .kept: row?.knownTools ?? present
                case .listed(let names): names
                }
            let made = PolicyTable.Row(version: version, text: proposal.text, knownTools: known)
            try PolicyTable.insert(made, account: account, on: connection)
            if let audit = try audit?() {
                let event = AuditTable.Event(
                    version,
                    changes: proposal.changes.count,
                    audit.keys.redactor
                )
                try audit.append([event], at: now, account: account, on: connection)
            }
            return (made, proposal)
        }
        hold(compile(row, await surroundingsOrNone()), lookedAt: .now)
        return PolicyApplication(
            version: row.version,
            isNew: row.version.number != proposal.base,
            changes: proposal.changes,
            warnings: proposal.warnings
        )
    }

    private func proposal(
        _ text: String,
        _ prunes: Bool,
        over current: (document: PolicyDocument, row: PolicyTable.Row)?,
        _ outside: PolicySurroundings
    ) throws(PolicyError) -> PolicyProposal {
        let before = current?.document ?? PolicyDocument(name: "")
        // What the file names may be in the policy it is merged with; the whole is checked below.
        var around = outside
        if !prunes {
            around.workflows.formUnion(before.workflows.map(\.name))
            around.servers.formUnion(before.servers.map(\.name))
            around.hasDefaultWorkflow =
                around.hasDefaultWorkflow || before.defaultWorkflow != nil
        }
        let reading = PolicyDocument.read(text, outside: around)
        guard let file = reading.document else { throw .invalid(reading.problems) }
        let after = prunes || current == nil ? file : before.merged(with: file)
        // The text as it was written keeps its comments; it can when it says everything.
        let isWhole = after == file
        let kept = isWhole ? text : after.text
        let checked = PolicyDocument.read(kept, outside: outside)
        guard checked.document != nil else { throw .invalid(checked.problems) }
        return PolicyProposal(
            base: current?.row.version.number ?? 0,
            before: before,
            after: after,
            text: kept,
            changes: before.changes(to: after),
            warnings: checked.warnings
        )
    }
}

extension PolicyTable.Version {
    /// As commands and routes show it.
    package var json: JSONValue {
        [
            "version": .integer(number), "name": .string(name), "author": .string(author),
            "origin": .string(origin), "created_at": .string(createdAt.iso8601),
            "tag": JSONValue(tag), "digest": .string(hexadecimal(digest)),
        ]
    }
}
