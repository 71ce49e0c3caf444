import MCP

/// The level of log messages of a session of the older era, which clients of one caller may share.
///
/// There is one for the session: it is the lowest that any of them wants, and each hears from its
/// own level on, which is seen to where the client is served. Who says nothing counts as wanting
/// all, once somebody else has said something: that is what servers tell by themselves.
struct SharedLogLevel: Sendable {
    /// Of more than that only the lowest level is remembered.
    private static let maximumClients = 64

    private var wishes: [String: LogLevel] = [:]
    private var hasBeenSaid = false
    private var told: LogLevel?

    /// Takes what the client of a call wants.
    ///
    /// - Parameters:
    ///   - wish: Which messages.
    ///   - session: The client's; nil where each call comes alone.
    /// - Returns: The level to tell the server; nil when it knows.
    mutating func take(_ wish: LogWish, of session: String?) -> LogLevel? {
        switch wish {
        case .nothing: return nil
        case .usual: wishes[session ?? ""] = .debug
        case .from(let level):
            hasBeenSaid = true
            // Of calls that come alone, each level that was wanted once is kept.
            wishes[session ?? level.rawValue] = level
        }
        let lowest = wishes.values.min()
        if wishes.count > Self.maximumClients, let lowest { wishes = ["": lowest] }
        guard hasBeenSaid, let lowest, lowest != told else { return nil }
        told = lowest
        return lowest
    }
}
