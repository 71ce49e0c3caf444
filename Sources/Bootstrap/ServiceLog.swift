import Domain
package import Store

/// What a program that runs on and on tells on standard error: a line with the time for everything
/// that happens.
package struct ServiceLog: Sendable {
    private let clock: WallClock
    private let write: @Sendable (String) -> Void

    /// A log.
    ///
    /// - Parameters:
    ///   - clock: Gives the time of a line.
    ///   - write: Takes the lines, newline included.
    package init(
        clock: WallClock = .system,
        write: @escaping @Sendable (String) -> Void = standardErrorRaw
    ) {
        self.clock = clock
        self.write = write
    }

    /// Writes a line.
    package func callAsFunction(_ text: String) {
        write("\(clock.now().iso8601) \(singleLine(text))\n")
    }
}
