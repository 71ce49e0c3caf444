extension LocalEmbedder {
    /// A sentence or so, so that what a cut tears apart is whole in one of the two windows.
    static let maximumOverlap = 32

    /// Cuts a text at word boundaries, at white space where one is near; see ``Embedder``.
    ///
    /// - Complexity: O(n) in the bytes the windows cover.
    package func windows(of text: String, maximumCount: Int) -> [Range<Int>] {
        guard maximumCount > 0 else { return [] }
        let room = min(maximumTokens, configuration.windowTokens) - 2
        // A window takes at least one word, and a word has at most a piece a scalar.
        let (limit, overflow) = max(room, WordPieceTokenizer.maximumWordScalars)
            .multipliedReportingOverflow(by: maximumCount)
        let words = tokenizer.words(of: text, limit: overflow ? .max : limit)
        var windows: [Range<Int>] = []
        var first = 0
        while first < words.count, windows.count < maximumCount {
            let end = windowEnd(words, from: first, room: room)
            windows.append(words[first].range.lowerBound..<words[end - 1].range.upperBound)
            guard end < words.count else { break }
            first = nextStart(words, after: first, end: end, room: room)
        }
        return windows
    }

    /// The word behind the last that fits; at least one word, which is cut when it does not fit.
    private func windowEnd(
        _ words: [WordPieceTokenizer.Word],
        from first: Int,
        room: Int
    ) -> Int {
        var end = first
        var count = 0
        while end < words.count, count + words[end].pieceCount <= room {
            count += words[end].pieceCount
            end += 1
        }
        guard end > first else { return first + 1 }
        guard end < words.count else { return end }
        // Up to an eighth of the window is given away for not cutting inside `foo.bar(baz)`.
        var (earlier, spare) = (end, 0)
        while earlier > first + 1, !words[earlier].followsSpace, spare <= room / 8 {
            earlier -= 1
            spare += words[earlier].pieceCount
        }
        return words[earlier].followsSpace && spare <= room / 8 ? earlier : end
    }

    /// Where the next window starts: so many words back from `end` as the overlap holds.
    private func nextStart(
        _ words: [WordPieceTokenizer.Word],
        after first: Int,
        end: Int,
        room: Int
    ) -> Int {
        let overlap = min(Self.maximumOverlap, room / 8)
        var start = end
        var count = 0
        while start > first + 1, count + words[start - 1].pieceCount <= overlap {
            start -= 1
            count += words[start].pieceCount
        }
        // A window starts after white space if any of the shared words does.
        var spaced = start
        while spaced < end, !words[spaced].followsSpace { spaced += 1 }
        return spaced < end || words[end].followsSpace ? spaced : start
    }
}
