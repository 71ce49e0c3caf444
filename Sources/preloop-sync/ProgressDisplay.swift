import Bootstrap
import Domain
import Search
import Store
import Sync

/// Draws a ``ProgressBoard`` on standard error while something runs: bars on a terminal, a line
/// every half minute otherwise.
struct ProgressDisplay {
    /// How it is drawn.
    enum Style {
        case none
        /// Bars on a terminal, lines elsewhere.
        case automatic
    }

    /// Quick enough to look alive, slow enough to cost nothing.
    private static let barInterval = Duration.milliseconds(200)
    /// As often as a log wants it.
    private static let lineInterval = Duration.seconds(30)

    let board: ProgressBoard
    let style: Style

    /// Runs `body` and draws meanwhile.
    func show<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        guard style == .automatic else { return try await body() }
        let isTerminal = Terminal.showsProgress
        let board = board
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                if isTerminal { await Self.drawBars(board) } else { await Self.writeLines(board) }
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                guard let result else { continue }
                group.cancelAll()
                try await group.waitForAll()
                return result
            }
            throw CancellationError()
        }
    }

    private static func writeLines(_ board: ProgressBoard) async {
        // Ends when the sleep is cancelled.
        while (try? await ContinuousClock().sleep(for: lineInterval)) != nil {
            let (lines, indexed, written) = board.snapshot
            let active = lines.filter { $0.step.phase != .ended }
            standardError(
                "\(active.count) projects at work, \(lines.count - active.count) done; "
                    + "\(written) rows written, \(indexed.embedded) passages embedded\n"
            )
        }
    }

    private static func drawBars(_ board: ProgressBoard) async {
        var drawnCount = 0
        var tick = 0
        while (try? await ContinuousClock().sleep(for: barInterval)) != nil {
            tick += 1
            drawnCount = draw(board, tick: tick, over: drawnCount)
        }
        // What is left on the terminal is the last state.
        _ = draw(board, tick: tick, over: drawnCount)
    }

    /// Redraws over the lines of last time.
    ///
    /// - Returns: The number of lines drawn.
    private static func draw(_ board: ProgressBoard, tick: Int, over drawnCount: Int) -> Int {
        let (lines, indexed, _) = board.snapshot
        let columns = Terminal.columns
        var texts = shown(lines).map { bar($0, tick: tick) }
        texts.append(
            "indexed: \(indexed.texts) texts, \(indexed.embedded) passages embedded, "
                + "\(indexed.compared) issues compared"
        )
        var output = drawnCount > 0 ? "\u{1B}[\(drawnCount)A" : ""
        for text in texts {
            output += "\u{1B}[2K" + String(text.unicodeScalars.prefix(columns - 1)) + "\n"
        }
        for _ in 0..<max(0, drawnCount - texts.count) { output += "\u{1B}[2K\n" }
        standardErrorRaw(output)
        return max(texts.count, drawnCount)
    }

    /// As many projects as a screen holds: those at work first, then the last that ended.
    private static func shown(_ lines: [ProgressBoard.Line]) -> [ProgressBoard.Line] {
        let active = lines.filter { $0.step.phase != .ended }
        let ended = lines.filter { $0.step.phase == .ended }
        let room = 16
        return Array((ended.suffix(max(0, room - active.count)) + active).suffix(room))
    }

    private static func bar(_ line: ProgressBoard.Line, tick: Int) -> String {
        let step = line.step
        let width = 12
        let track: String
        if step.phase == .ended {
            track = String(repeating: "=", count: width)
        } else {
            // Trackers do not tell how much there is: the mark only shows that it moves.
            var cells = [Character](repeating: "-", count: width)
            cells[tick % width] = "#"
            track = String(cells)
        }
        let seconds = max(0.001, (line.changedAt - line.startedAt) / .seconds(1))
        let rate = step.fetched > 0 ? Int(Double(step.fetched) / seconds) : 0
        var text =
            "[\(track)] \(step.tracker) \(singleLine(step.project ?? "")) "
            + "\(step.phase.rawValue): \(step.fetched) fetched, \(step.written) written, \(rate)/s"
        if let reset = step.rateLimitReset { text += ", rate limit until \(reset)" }
        return text
    }
}
