import Domain

/// Writes a changed text into the document it came from.
///
/// Markdown knows less than an Atlassian document: mentions, panels, cards and colours are lost on
/// the way out. Blocks that the writer left as they were are therefore taken over from the old
/// document as they stand there, and only the others are made anew.
enum ADFPatch {
    /// Documents with more blocks are made anew; matching costs their square.
    private static let maximumBlockCount = 400

    /// The document for `markdown`, with what is unchanged kept from `original`.
    static func document(fromMarkdown markdown: String, patching original: JSONValue) -> JSONValue {
        let blocks = MarkdownParser.parse(markdown).filter { !$0.isEmpty }
        let old = original["content"]?.array ?? []
        guard original["type"]?.string == "doc", old.count <= maximumBlockCount,
            blocks.count <= maximumBlockCount
        else { return ADFWriter.document(blocks) }
        // Both sides are compared as the one renderer writes them.
        let oldTexts = old.map { node in
            MarkdownRenderer.render(MarkdownParser.parse(ADFConverter.markdown(from: node)))
        }
        let newTexts = blocks.map { MarkdownRenderer.render([$0]) }
        let kept = longestCommonSubsequence(newTexts, oldTexts)
        var nodes: [JSONValue] = []
        for (index, block) in blocks.enumerated() {
            if let place = kept[index] {
                nodes.append(old[place])
            } else {
                nodes += ADFNodes().nodes([block], in: .document)
            }
        }
        return ADFWriter.document(nodes: nodes)
    }

    /// For each new text the place of the old one it is matched with, in order.
    private static func longestCommonSubsequence(
        _ new: [String],
        _ old: [String]
    ) -> [Int: Int] {
        let width = old.count + 1
        var lengths = [Int](repeating: 0, count: (new.count + 1) * width)
        for i in new.indices.reversed() {
            for j in old.indices.reversed() {
                let isEqual = haveEqualBytes(new[i], old[j]) && !new[i].isEmpty
                lengths[i * width + j] =
                    isEqual
                    ? lengths[(i + 1) * width + j + 1] + 1
                    : max(lengths[(i + 1) * width + j], lengths[i * width + j + 1])
            }
        }
        var matches: [Int: Int] = [:]
        var (i, j) = (0, 0)
        while i < new.count, j < old.count {
            if haveEqualBytes(new[i], old[j]), !new[i].isEmpty {
                matches[i] = j
                i += 1
                j += 1
            } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
                i += 1
            } else {
                j += 1
            }
        }
        return matches
    }
}
