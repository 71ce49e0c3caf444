import Bootstrap
import Domain
import Store

/// Draws a ``ProgressBoard`` on standard error while something runs: bars on a terminal, a line
/// every half minute otherwise.
struct ProgressDisplay: Sendable {
    /// How it is drawn.
    enum Style {
        case none
        /// Redrawn in place, for terminals.
        case bars
        /// A line now and then, for logs.
        case lines
    }

    /// Quick enough to look alive, slow enough to cost nothing.
    static let barInterval = Duration.milliseconds(200)
    /// As often as a log wants it.
    static let lineInterval = Duration.seconds(30)

    let board: ProgressBoard
    let style: Style
    /// Paces the drawing.
    var clock: any Clock<Duration> = ContinuousClock()
    /// The clock that rate limits refer to.
    var wallClock = WallClock.system
    /// Where the drawing goes.
    var write: @Sendable (String) -> Void = standardErrorRaw
    /// The width of what it goes to.
    var columns: @Sendable () -> Int = { Terminal.columns }

    /// Runs `body` and draws meanwhile.
    func show<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        guard style != .none else { return try await body() }
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                if style == .bars { await drawBars() } else { await writeLines() }
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

    private var text: ProgressText { ProgressText(board: board, now: wallClock.now()) }

    private func writeLines() async {
        // Ends when the sleep is cancelled.
        while (try? await clock.sleep(for: Self.lineInterval)) != nil {
            write(text.summary + "\n")
        }
    }

    private func drawBars() async {
        var drawnCount = 0
        var tick = 0
        // Ends when the sleep is cancelled.
        while (try? await clock.sleep(for: Self.barInterval)) != nil {
            tick += 1
            drawnCount = draw(tick: tick, over: drawnCount)
        }
        // What is left on the terminal is the last state.
        _ = draw(tick: tick, over: drawnCount)
    }

    /// Redraws over the lines of last time.
    ///
    /// - Returns: The number of lines drawn.
    private func draw(tick: Int, over drawnCount: Int) -> Int {
        let texts = text.bars(tick: tick)
        let width = max(1, columns() - 1)
        var output = drawnCount > 0 ? "\u{1B}[\(drawnCount)A" : ""
        for text in texts {
            output += "\u{1B}[2K" + String(text.unicodeScalars.prefix(width)) + "\n"
        }
        for _ in 0..<max(0, drawnCount - texts.count) { output += "\u{1B}[2K\n" }
        write(output)
        return max(texts.count, drawnCount)
    }
}
