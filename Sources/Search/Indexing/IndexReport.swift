package import Domain

/// What indexing did.
package struct IndexReport: Sendable, Equatable {
    /// Changed issues and comments looked at.
    package var texts = 0
    /// Windows embedded: those whose text is new or different.
    package var embedded = 0
    /// Windows whose text only moved within its part.
    package var moved = 0
    /// Windows that are gone.
    package var removed = 0
    /// Windows that were already as they should be.
    package var unchanged = 0
    /// Windows of models that are no longer searched, dropped.
    package var dropped = 0
    /// Issues whose duplicates were looked for.
    package var compared = 0
    /// How long texts were being embedded.
    package var embedding = Duration.zero
    /// How long nothing was embedded while changes waited: from the wake-up, or the end of one
    /// embedding, to the beginning of the next.
    package var idle = Duration.zero
    /// Windows embedded, by project.
    package var embeddedByProject: [Project: Int] = [:]

    /// A project as people know it.
    package struct Project: Sendable, Hashable {
        package var tracker: String
        package var path: String

        package init(tracker: String, path: String) {
            self.tracker = tracker
            self.path = path
        }
    }

    package init() {}

    /// Adds the counts of another run.
    package static func += (left: inout IndexReport, right: IndexReport) {
        left.texts += right.texts
        left.embedded += right.embedded
        left.moved += right.moved
        left.removed += right.removed
        left.unchanged += right.unchanged
        left.dropped += right.dropped
        left.compared += right.compared
        left.embedding += right.embedding
        left.idle += right.idle
        left.embeddedByProject.merge(right.embeddedByProject, uniquingKeysWith: +)
    }

    private static func milliseconds(_ duration: Duration) -> Int64 {
        Int64((duration / .milliseconds(1)).rounded())
    }

    /// The counts by name.
    package var json: JSONValue {
        [
            "texts": .integer(Int64(texts)), "embedded": .integer(Int64(embedded)),
            "moved": .integer(Int64(moved)), "removed": .integer(Int64(removed)),
            "unchanged": .integer(Int64(unchanged)), "dropped": .integer(Int64(dropped)),
            "compared": .integer(Int64(compared)),
            "embedding_ms": .integer(Self.milliseconds(embedding)),
            "idle_ms": .integer(Self.milliseconds(idle)),
            "projects": .array(
                embeddedByProject.sorted {
                    ($0.key.tracker, $0.key.path) < ($1.key.tracker, $1.key.path)
                }.map { project, count in
                    [
                        "tracker": .string(project.tracker), "project": .string(project.path),
                        "embedded": .integer(Int64(count)),
                    ]
                }
            ),
        ]
    }
}
