import Domain
import Synchronization

/// Holds leases while something is done: takes them, renews them, gives them back.
package struct LeaseKeeper: Sendable {
    /// How long leases last.
    package struct Times: Sendable {
        /// How long a lease is ours without renewal: longer than any one transaction.
        package var duration = Duration.seconds(60)
        /// How often it is renewed: twice may fail.
        package var renewal = Duration.seconds(20)

        /// The usual ones.
        package init() {}
    }

    private let store: Store
    private let holder: LeaseHolder
    private let times: Times
    private let clock: any Clock<Duration>

    /// A keeper of leases of a store's account.
    ///
    /// - Parameters:
    ///   - store: Whose leases.
    ///   - holder: Who holds them; two tasks of one process need two (``LeaseHolder/task()``).
    ///   - times: How long leases last.
    ///   - clock: Paces the renewals.
    package init(
        _ store: Store,
        holder: LeaseHolder,
        times: Times = Times(),
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.store = store
        self.holder = holder
        self.times = times
        self.clock = clock
    }

    /// Runs `body` while all of these leases are held; without names it just runs.
    ///
    /// `others` are leases that must not be held by anybody when these are taken.
    ///
    /// The first lease that is lost cancels `body`, and that it was lost is thrown. They are given
    /// back however it ends.
    ///
    /// - Throws: ``StoreError/leaseHeld(name:holder:)`` when somebody else has one of them,
    ///   ``StoreError/leaseLost(name:)``, and what `body` throws.
    package func hold<Value: Sendable>(
        _ names: [String],
        unlessHeld others: [String] = [],
        _ body: @escaping @Sendable ([Lease]) async throws -> Value
    ) async throws -> Value {
        let leases = names.isEmpty && others.isEmpty ? [] : try await acquire(names, others)
        guard !leases.isEmpty else { return try await body([]) }
        let result: Result<Value, any Error>
        do {
            result = .success(
                try await withHeartbeat(of: leases) { try await body(leases) }
            )
        } catch {
            result = .failure(error)
        }
        await release(leases)
        return try result.get()
    }

    /// All or none; in one order, lest two wait for each other.
    private func acquire(_ names: [String], _ others: [String]) async throws -> [Lease] {
        let (holder, now, duration) = (holder, store.clock.now(), times.duration)
        return try await store.writeOutsideFeed { connection, account in
            for other in others {
                let found = try LeaseTable.holder(
                    ofOne: other,
                    now: now,
                    account: account,
                    on: connection
                )
                guard let found else { continue }
                throw StoreError.leaseHeld(name: other, holder: found.description)
            }
            return try names.sorted().map { name in
                try LeaseTable.acquire(
                    name,
                    holder: holder,
                    duration: duration,
                    now: now,
                    account: account,
                    on: connection
                )
            }
        }
    }

    private func withHeartbeat<Value: Sendable>(
        of leases: [Lease],
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await renew(leases)
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    /// Renews the leases until the task is cancelled.
    private func renew(_ leases: [Lease]) async throws {
        while true {
            do {
                try await clock.sleep(for: times.renewal)
            } catch {
                return
            }
            let (now, duration) = (store.clock.now(), times.duration)
            do {
                try await store.writeOutsideFeed { connection, account in
                    for lease in leases {
                        _ = try LeaseTable.renew(
                            lease,
                            duration: duration,
                            now: now,
                            account: account,
                            on: connection
                        )
                    }
                }
            } catch let error as StoreError where error.isRetryable {
                // Another writer is slow or the database away; the next beat comes before the lease
                // ends, or else the writes find it lost.
                continue
            } catch is CancellationError {
                return
            }
        }
    }

    /// Gives the leases back, also when this task is cancelled: the next one need not wait.
    private func release(_ leases: [Lease]) async {
        let store = store
        // Not a child of this task: a cancelled task could not write any more. It is waited for.
        let task = Task.detached {
            try await store.writeOutsideFeed { connection, account in
                for lease in leases {
                    try LeaseTable.release(lease, account: account, on: connection)
                }
            }
        }
        // A lease that could not be given back expires, and ends at once when this process does.
        _ = await task.result
    }
}

/// Numbers the tasks of this process that hold leases.
private let taskNumber = Atomic<Int32>(0)

extension LeaseHolder {
    /// This process for one of several tasks that hold leases at once: unlike the process itself it
    /// cannot take a lease from its like.
    package static func task() -> LeaseHolder {
        var holder = current()
        holder.task = taskNumber.wrappingAdd(1, ordering: .relaxed).newValue
        return holder
    }
}
