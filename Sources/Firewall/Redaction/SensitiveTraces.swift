/// What is known of the sensitive values in something that is not there any more, such as the
/// arguments of a call on record.
package struct SensitiveTraces: Sendable, Equatable {
    /// The kinds that were found.
    package var kinds: Set<SensitiveKind>
    /// Whether nothing else that is looked for was in it.
    package var areAll: Bool

    package init(kinds: Set<SensitiveKind> = [], areAll: Bool = true) {
        self.kinds = kinds
        self.areAll = areAll
    }

    /// Kinds whose values may hold values of other kinds: an address of mail may be a password.
    private static let covering: Set<SensitiveKind> = [
        .named, .bearer, .privateKey, .urlPassword, .unread,
    ]

    /// Whether something of kinds that were not found may have been in it all the same.
    var mayHideOthers: Bool { !areAll || !kinds.isDisjoint(with: Self.covering) }
}

extension RedactionPolicy {
    /// What rules say about values of which traces are left.
    struct Recollection: Sendable, Equatable {
        /// The strongest action of the rules that find something; nil when none surely does.
        var action: Action?
        /// Rules of which nobody can tell whether they would.
        var open: [Rule] = []
    }

    /// Looks through what is left of a value.
    func recollect(
        _ traces: SensitiveTraces,
        on side: Side,
        of subject: Subject
    ) -> Recollection {
        var recollection = Recollection()
        for rule in rules where rule.side == side && rule.scope.has(subject) {
            if !rule.kinds.isDisjoint(with: traces.kinds) {
                if rule.action.strength >= recollection.action?.strength ?? 0 {
                    recollection.action = rule.action
                }
            } else if traces.mayHideOthers {
                recollection.open.append(rule)
            }
        }
        return recollection
    }
}
