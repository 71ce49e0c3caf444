import Bootstrap
import Domain
import Search
import Sync

/// What a ``ProgressBoard`` says at one moment, in words and bars.
struct ProgressText {
    let board: ProgressBoard
    /// For rate limits, which are told as instants.
    let now: Timestamp

    private static let trackWidth = 12
    /// Lines of bars; more would push each other off the screen.
    private static let room = 16

    /// One line for a log.
    var summary: String {
        let (lines, indexed, written) = board.snapshot
        let active = lines.filter { $0.step.phase != .ended }
        var text =
            "\(counted(active.count, "project")) at work, \(lines.count - active.count) done; "
            + "\(counted(written, "row")) written, "
            + "\(counted(indexed.embedded, "passage")) embedded"
        let remaining = active.compactMap(\.step.walk?.remaining)
        if !remaining.isEmpty {
            text += ", about \(counted(remaining.reduce(0, +), "issue")) remaining"
        }
        if let end = active.compactMap({ waitEnd($0) }).max() {
            text += ", rate limit until \(seconds(end))"
        }
        return text
    }

    /// One bar a project and a line about the indexes.
    ///
    /// `tick` moves the mark in bars whose length nobody knows.
    func bars(tick: Int) -> [String] {
        let (lines, indexed, _) = board.snapshot
        return shown(lines).map { line in
            let project = IndexReport.Project(
                tracker: line.step.tracker,
                path: line.step.project ?? ""
            )
            return bar(line, tick: tick, embedded: indexed.embeddedByProject[project] ?? 0)
        } + [
            "indexed: \(counted(indexed.texts, "text")), "
                + "\(counted(indexed.embedded, "passage")) embedded, "
                + "\(counted(indexed.compared, "issue")) compared"
        ]
    }

    /// As many projects as a screen holds: those at work first, then the last that ended.
    private func shown(_ lines: [ProgressBoard.Line]) -> [ProgressBoard.Line] {
        let active = lines.filter { $0.step.phase != .ended }
        let ended = lines.filter { $0.step.phase == .ended }
        return Array((ended.suffix(max(0, Self.room - active.count)) + active).suffix(Self.room))
    }

    private func bar(_ line: ProgressBoard.Line, tick: Int, embedded: Int) -> String {
        let step = line.step
        var text =
            "[\(track(step, tick: tick))] \(singleLine(step.tracker)) "
            + "\(singleLine(step.project ?? "")) \(step.phase.rawValue): \(step.fetched) fetched"
            + ", \(embedded) embedded"
        // First what a narrow terminal must not cut off.
        if let end = waitEnd(line) { text += ", rate limit until \(seconds(end))" }
        let elapsed = max(0.001, (line.changedAt - line.startedAt) / .seconds(1))
        let rate = Double(step.fetched) / elapsed
        if let walk = step.walk {
            text += ", \(walk.remaining) remaining"
            let left = Double(walk.remaining) * elapsed / Double(max(1, walk.read))
            if walk.read > 0, walk.remaining > 0, left < 360_000 { text += " (\(Int(left)) s)" }
        }
        return text + ", \(Int(min(rate, 1e9)))/s, \(step.written) written"
    }

    private func track(_ step: ScanProgress, tick: Int) -> String {
        let width = Self.trackWidth
        if step.phase == .ended { return String(repeating: "=", count: width) }
        guard let walk = step.walk, walk.read + walk.remaining > 0 else {
            // Nobody knows how much there is: the mark only shows that it moves.
            var cells = [Character](repeating: "-", count: width)
            cells[tick % width] = "#"
            return String(cells)
        }
        let done = width * walk.read / (walk.read + walk.remaining)
        return String(repeating: "#", count: done) + String(repeating: "-", count: width - done)
    }

    /// The end of a wait that is not over.
    private func waitEnd(_ line: ProgressBoard.Line) -> Timestamp? {
        if let reset = line.step.rateLimitReset { return reset }
        guard line.step.phase != .ended, let end = line.waitEnd, end > now else { return nil }
        return end
    }

    private func seconds(_ instant: Timestamp) -> String {
        String(instant.iso8601.prefix(19)) + "Z"
    }
}
