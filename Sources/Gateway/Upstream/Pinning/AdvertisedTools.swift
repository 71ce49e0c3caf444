/// What a server listed in a session: each tool's name with the digest of its definition.
struct AdvertisedTools: Sendable {
    /// A server that does not tell of changes is asked again so often: a connection that is shared
    /// may live for days.
    static let longestAge: Duration = .seconds(300)

    let digests: [[UInt8]: [UInt8]]
    /// The number of changes that the server had told of *before* it was asked: a list that was
    /// under way when it told of another is an older one.
    let generation: Int
    /// When it was asked.
    let askedAt: ContinuousClock.Instant

    /// Whether the list holds after so many changes.
    func isCurrent(_ generation: Int, at now: ContinuousClock.Instant) -> Bool {
        self.generation >= generation && askedAt.duration(to: now) < Self.longestAge
    }
}
