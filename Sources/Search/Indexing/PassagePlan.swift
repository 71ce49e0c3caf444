import Domain
import Store

/// Decides which windows of an issue's or comment's text are to be embedded, moved or dropped; pure
/// but for the embedder's tokenizer.
struct PassagePlan {
    /// How many windows a text may have.
    ///
    /// A window is a paragraph of some eighty words, sixteen are two pages; who reads further than
    /// that into a report finds logs.
    struct Limits: Sendable {
        /// Windows of a body.
        var body = 16
        /// Windows of a comment.
        var comment = 8
    }

    /// A window whose vector is missing.
    struct Missing {
        var draft: PassageTable.Draft
        var text: String
    }

    /// Windows to embed.
    private(set) var missing: [Missing] = []
    /// Windows whose text is the same but stands elsewhere in its part.
    var moved: [PassageTable.Draft] = []
    /// Windows that are gone.
    var vanished: [PassageID] = []
    /// Windows that are as they should be.
    private(set) var unchangedCount = 0

    /// Compares what should be with what is stored.
    ///
    /// - Parameters:
    ///   - text: The part's text.
    ///   - title: The issue's title, embedded in front of each window; empty for none.
    ///   - windows: The windows of the text as the embedder cuts them.
    ///   - issue: Whose text it is.
    ///   - comment: For a comment's text.
    ///   - part: Which text of the issue.
    ///   - stored: The stored windows of this part, tombstones included.
    mutating func add(
        _ text: String,
        after title: String = "",
        windows: [Range<Int>],
        issue: IssueID,
        comment: CommentID?,
        part: PassageTable.Part,
        stored: [PassageTable.Passage]
    ) {
        let bytes = Array(text.utf8)
        let prefix = Self.prefix(title)
        let byPosition = Dictionary(
            stored.map { ($0.place.position, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for (position, range) in windows.enumerated() {
            precondition(range.upperBound <= bytes.count, "a window lies within its text")
            let embedded = prefix + bytes[range]
            let hash = PassageTable.hash(of: embedded)
            let known = byPosition[position]
            let draft = PassageTable.Draft(
                id: known?.id,
                place: PassageTable.Place(
                    issue: issue,
                    comment: comment,
                    part: part,
                    position: position
                ),
                range: range,
                textHash: hash,
                vector: nil
            )
            if let known, !known.isDeleted, known.textHash == hash {
                if known.range == range { unchangedCount += 1 } else { moved.append(draft) }
            } else {
                let text = String(decoding: embedded, as: UTF8.self)
                missing.append(Missing(draft: draft, text: text))
            }
        }
        drop(stored.filter { $0.place.position >= windows.count })
    }

    /// Drops windows that are still live.
    mutating func drop(_ passages: [PassageTable.Passage]) {
        vanished.append(contentsOf: passages.lazy.filter { !$0.isDeleted }.map(\.id))
    }

    /// A title of usual length in front of a window tells the model what the window is about:
    /// alone, first windows rank at MAP 0.435, with it at 0.618 (docs/decisions/0004-ranking.md).
    static func prefix(_ title: String) -> [UInt8] {
        guard !title.isEmpty else { return [] }
        var end =
            title.utf8.index(
                title.startIndex,
                offsetBy: maximumTitleBytes,
                limitedBy: title.endIndex
            ) ?? title.endIndex
        while end.samePosition(in: title.unicodeScalars) == nil {
            end = title.utf8.index(before: end)
        }
        return Array(title.utf8[..<end]) + [UInt8(ascii: "\n")]
    }

    /// About 60 tokens; more would push the window's own text out of the model's sight.
    private static let maximumTitleBytes = 400
}
