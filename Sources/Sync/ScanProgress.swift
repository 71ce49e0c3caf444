package import Domain

/// A step of a scan, for those who watch it.
package struct ScanProgress: Sendable, Equatable {
    package var tracker: String
    /// Nil while the tracker's projects are being listed.
    package var project: String?
    package var phase: Phase
    /// Issues and comments received so far in this scan of the project.
    package var fetched: Int
    /// Rows written so far in this scan of the project.
    package var written: Int
    /// When the tracker will answer again, once it has refused.
    package var rateLimitReset: Timestamp?
    /// How far the walk over the issues is; nil while nobody knows how many there are.
    package var walk: WalkProgress?

    /// What is being done.
    package enum Phase: String, Sendable, CaseIterable {
        case listing
        case issues
        case census
        case comments
        case ended
    }

    /// A walk over issues of which there are about so many.
    package struct WalkProgress: Sendable, Equatable {
        /// Issues read in this walk by this scan.
        package var read: Int
        /// Issues still to be read, as far as the tracker tells; a page may bring more or fewer.
        package var remaining: Int

        package init(read: Int, remaining: Int) {
            self.read = read
            self.remaining = remaining
        }
    }

    package init(
        tracker: String,
        project: String?,
        phase: Phase,
        fetched: Int,
        written: Int
    ) {
        self.tracker = tracker
        self.project = project
        self.phase = phase
        self.fetched = fetched
        self.written = written
    }
}
