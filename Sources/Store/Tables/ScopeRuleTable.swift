package import Domain

/// What is read of each tracker.
package enum ScopeRuleTable {
    /// Replaces a tracker's rules.
    package static func replace(
        with scope: Scope,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM scope_rules
            WHERE account_id = \(account) AND tracker_id = \(tracker)
            """
        )
        for (position, rule) in scope.rules.enumerated() {
            try connection.execute(
                """
                INSERT INTO scope_rules (account_id, tracker_id, position, rule, pattern)
                VALUES (\(account), \(tracker), \(position), \(rule.action.rawValue),
                    \(rule.pattern))
                """
            )
        }
    }

    /// A tracker's rules in the operator's order.
    package static func scope(
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Scope {
        let rows = try connection.rows(
            """
            SELECT rule, pattern FROM scope_rules
            WHERE account_id = \(account) AND tracker_id = \(tracker)
            ORDER BY position
            LIMIT 10000
            """
        )
        var rules: [ScopeRule] = []
        for row in rows {
            guard let action = ScopeRule.Action(rawValue: try row.text("rule")) else {
                throw .unexpectedValue(column: "scope_rules.rule")
            }
            rules.append(ScopeRule(action: action, pattern: try row.text("pattern")))
        }
        return Scope(rules)
    }
}
