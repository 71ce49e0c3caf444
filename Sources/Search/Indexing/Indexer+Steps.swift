import Domain
import Store

// The stages of a page, and how they overlap.

extension Indexer {
    /// A page that was read, and what is to be done about it.
    struct Prepared: Sendable {
        var page: Page
        var plan: PassagePlan
    }

    /// A page that only has to be written.
    struct Embedded: Sendable {
        var page: Page
        /// Complete: what was embedded is among what moved.
        var plan: PassagePlan
        /// What was embedded.
        var drafts: [PassageTable.Draft]
        var startedAt: ContinuousClock.Instant
        var endedAt: ContinuousClock.Instant
    }

    /// The pages at work between two steps; begins without any.
    package struct Course: Sendable {
        /// Embedded and not yet written.
        var embedded: Embedded?
        /// Read and not yet embedded.
        var ahead: Prepared?
        /// Since when the embedder has nothing to do.
        var freeSince = ContinuousClock.now

        package init() {}
    }

    /// Embeds one page of changes; meanwhile the page before it is written and the one behind it
    /// read.
    ///
    /// The embedder waits only for a page that depends on the one before it, and when there is no
    /// backlog.
    ///
    /// - Returns: What was written, which may be nothing; nil when nothing is waiting.
    package func step(_ course: inout Course) async throws -> IndexReport? {
        try Task.checkCancellation()
        let previous = course.embedded
        var ahead = course.ahead
        course.embedded = nil
        course.ahead = nil
        if ahead == nil {
            if let previous { return try await write(previous) ?? IndexReport() }
            ahead = try await prepare()
        }
        guard let current = ahead else { return nil }
        guard current.page.returning.isEmpty else {
            return try await stepAlone(current, after: previous, &course)
        }
        async let around = write(previous, readingBehind: current.page)
        let embedded: Embedded
        do {
            embedded = try await embed(current)
        } catch {
            // Whether the page before could be written is not what ended the step.
            _ = try? await around
            throw error
        }
        let (written, next) = try await around
        var report = written
        course.note(embedded, in: &report)
        course.embedded = embedded
        course.ahead = next
        return report
    }

    /// A page with issues that came back, whose comments are embedded and written first.
    private func stepAlone(
        _ current: Prepared,
        after previous: Embedded?,
        _ course: inout Course
    ) async throws -> IndexReport {
        var report = IndexReport()
        if let previous { report += try await write(previous) ?? IndexReport() }
        for issue in current.page.returning { report += try await revive(issue) }
        let embedded = try await embed(current)
        course.note(embedded, in: &report)
        report += try await write(embedded) ?? IndexReport()
        return report
    }

    /// Writes the page before `current` and reads the one behind it, unless that one depends on
    /// `current`.
    private func write(
        _ previous: Embedded?,
        readingBehind current: Page
    ) async throws -> (IndexReport, Prepared?) {
        var report = IndexReport()
        if let previous {
            // Another indexer was quicker: neither page will be written, and the next is behind it.
            guard let done = try await write(previous) else { return (report, nil) }
            report = done
        }
        guard let next = try await prepare(after: current.end), !next.page.depends(on: current)
        else { return (report, nil) }
        return (report, next)
    }

    private func embed(_ prepared: Prepared) async throws -> Embedded {
        var plan = prepared.plan
        let startedAt = ContinuousClock.now
        let (drafts, meaningless) = try await embed(plan.missing)
        plan.moved.append(contentsOf: drafts)
        plan.vanished.append(contentsOf: meaningless)
        return Embedded(
            page: prepared.page,
            plan: plan,
            drafts: drafts,
            startedAt: startedAt,
            endedAt: .now
        )
    }
}

extension Indexer.Course {
    /// Counts the time an embedding took and the time before it.
    fileprivate mutating func note(_ embedded: Indexer.Embedded, in report: inout IndexReport) {
        // A page without a new text leaves the embedder free, but not for want of one.
        if !embedded.drafts.isEmpty {
            report.idle += embedded.startedAt - freeSince
            report.embedding += embedded.endedAt - embedded.startedAt
        }
        freeSince = embedded.endedAt
    }
}
