package import Domain
package import Store

/// What to search for.
package struct SearchRequest: Sendable {
    /// Which measurements count.
    package enum Mode: String, Sendable, CaseIterable {
        /// Meaning and words, their scores fused.
        case hybrid
        /// Meaning alone.
        case vector
        /// Words alone.
        case text
    }

    /// Reaching further is browsing, not searching; it bounds what one request may cost.
    package static let maximumReach = 5_000

    package var text: String
    package var mode = Mode.hybrid
    package var filter = IssueFilter()
    package var limit = 10
    package var offset = 0

    /// A hybrid search without restriction.
    package init(text: String) {
        self.text = text
    }
}

/// An issue that answers a search.
package struct SearchHit: Sendable, Equatable {
    package var issue: IssueSummary
    /// What the order is by; comparable within one answer only.
    package var score: Double
    /// The greatest cosine between the query and a window of the issue; nil in text mode.
    package var vectorScore: Double?
    /// BM25 divided by that of the best match, 0...1; nil in vector mode.
    package var lexicalScore: Double?
    /// The window that fits best; nil when the issue has none.
    package var passage: HitPassage?
}

/// The piece of an issue that made it a hit.
package struct HitPassage: Sendable, Equatable {
    package var part: PassageTable.Part
    /// For a piece of a comment.
    package var comment: CommentID?
    /// The window's text, white space collapsed, cut to ``maximumLength``.
    package var text: String

    /// Characters shown: a few lines on a terminal.
    package static let maximumLength = 300

    /// White space collapsed to single spaces, cut at a word, with an ellipsis when something was
    /// cut.
    package static func trimmed(_ text: String) -> String {
        var words: [Substring] = []
        var length = 0
        for word in text.split(whereSeparator: \.isWhitespace) {
            if length + word.count + 1 > maximumLength {
                if words.isEmpty { words.append(word.prefix(maximumLength)) }
                return words.joined(separator: " ") + "…"
            }
            words.append(word)
            length += word.count + 1
        }
        return words.joined(separator: " ")
    }
}
