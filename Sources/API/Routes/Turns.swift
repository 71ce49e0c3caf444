import Domain

/// One at a time changes an issue in this process, in the order in which they came.
actor Turns {
    /// What the turn is of.
    struct Key: Sendable, Hashable {
        var account: AccountID
        var issue: IssueID
    }

    /// Those who wait, of each issue that somebody has.
    private var waiting: [Key: [CheckedContinuation<Void, Never>]] = [:]

    /// Does something while nobody else does anything about the same issue.
    nonisolated func take<Value: Sendable>(
        _ key: Key,
        _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        await enter(key)
        do {
            let value = try await body()
            await pass(key)
            return value
        } catch {
            await pass(key)
            throw error
        }
    }

    private func enter(_ key: Key) async {
        guard waiting[key] != nil else {
            waiting[key] = []
            return
        }
        // Ends with the requests before it, each of which has a bounded time.
        await withCheckedContinuation { waiting[key]?.append($0) }
    }

    private func pass(_ key: Key) {
        guard var others = waiting[key], !others.isEmpty else {
            waiting[key] = nil
            return
        }
        let next = others.removeFirst()
        waiting[key] = others
        next.resume()
    }
}
