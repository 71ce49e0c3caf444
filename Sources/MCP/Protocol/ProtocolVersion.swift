/// The revisions of the Model Context Protocol that are spoken, oldest first.
package enum ProtocolVersion: String, Sendable, CaseIterable, Comparable {
    case march2025 = "2025-03-26"
    case june2025 = "2025-06-18"
    case november2025 = "2025-11-25"
    case july2026 = "2026-07-28"

    /// How a revision agrees on what is spoken.
    package enum Era: Sendable {
        /// By an `initialize` handshake that begins a session.
        case legacy
        /// By metadata in every request; there is no session.
        case modern
    }

    /// Which era the revision belongs to.
    package var era: Era { self == .july2026 ? .modern : .legacy }

    /// What an `initialize` that asks for a revision unknown to us is answered with.
    package static let latestLegacy = ProtocolVersion.november2025

    /// The newest revision of all.
    package static let latest = ProtocolVersion.july2026

    /// Newest first, as they are advertised.
    package static let advertised: [String] = allCases.reversed().map(\.rawValue)

    /// Only this revision has JSON-RPC batches; the next one took them out again.
    package var hasBatches: Bool { self == .march2025 }

    /// Whether tool results have `structuredContent`, and tools `title` and `outputSchema`.
    package var hasStructuredContent: Bool { self >= .june2025 }

    /// By age; the texts are dates.
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
