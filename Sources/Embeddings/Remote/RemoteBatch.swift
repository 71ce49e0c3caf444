/// Texts of one request, and where they stand in the call.
struct RemoteBatch: Sendable, Equatable {
    var indices: [Int] = []
    var texts: [String] = []

    /// Puts texts into batches, in order.
    ///
    /// Texts are cut to the window. Those of white space alone are left out: they have no token,
    /// and some providers refuse a request for one.
    static func plan(
        _ texts: [String],
        windowByteCount: Int,
        maximumCount: Int,
        maximumByteCount: Int
    ) -> [RemoteBatch] {
        var batches: [RemoteBatch] = []
        var batch = RemoteBatch()
        var byteCount = 0
        for (index, text) in texts.enumerated() {
            guard !text.utf8.allSatisfy(isSpace) else { continue }
            let cut = prefix(of: text, byteCount: windowByteCount)
            let size = cut.utf8.count
            let isFull =
                batch.texts.count >= maximumCount || byteCount + size > maximumByteCount
            if isFull, !batch.texts.isEmpty {
                batches.append(batch)
                batch = RemoteBatch()
                byteCount = 0
            }
            batch.indices.append(index)
            batch.texts.append(cut)
            byteCount += size
        }
        if !batch.texts.isEmpty { batches.append(batch) }
        return batches
    }

    /// The longest beginning of whole scalars that has at most so many bytes.
    private static func prefix(of text: String, byteCount: Int) -> String {
        guard text.utf8.count > byteCount else { return text }
        let bytes = Array(text.utf8)
        return String(
            decoding: bytes[..<scalarBoundary(bytes, atOrBefore: byteCount)],
            as: UTF8.self
        )
    }
}

extension RemoteEmbedder {
    /// Cuts a text at white space into windows of about the model's size; see ``Embedder``.
    ///
    /// Only the provider knows its tokens, so bytes stand for them.
    ///
    /// - Complexity: O(n) in the bytes of the text.
    package func windows(of text: String, maximumCount: Int) -> [Range<Int>] {
        let bytes = Array(text.utf8)
        let overlap = windowByteCount / 16
        var windows: [Range<Int>] = []
        var start = firstWord(in: bytes, from: 0)
        while start < bytes.count, windows.count < maximumCount {
            let end = windowEnd(in: bytes, from: start)
            var trimmed = end
            while isSpace(bytes[trimmed - 1]) { trimmed -= 1 }
            windows.append(start..<trimmed)
            guard firstWord(in: bytes, from: end) < bytes.count else { break }
            // The overlap starts at a word when there is one in it, else it is left out.
            let shared = (max(end - overlap, start + 1)..<end).first { isSpace(bytes[$0]) }
            start = firstWord(in: bytes, from: shared ?? end)
        }
        return windows
    }

    /// Behind the last word that fits; inside it when it takes more than a quarter of the window.
    private func windowEnd(in bytes: [UInt8], from start: Int) -> Int {
        guard bytes.count - start > windowByteCount else { return bytes.count }
        let limit = start + windowByteCount
        let earliest = limit - windowByteCount / 4
        return (earliest...limit).last { isSpace(bytes[$0]) }
            ?? scalarBoundary(bytes, atOrBefore: limit)
    }

    private func firstWord(in bytes: [UInt8], from index: Int) -> Int {
        var index = index
        while index < bytes.count, isSpace(bytes[index]) { index += 1 }
        return index
    }
}

private func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
}

/// The nearest place at or before `index` that is not inside a scalar.
private func scalarBoundary(_ bytes: [UInt8], atOrBefore index: Int) -> Int {
    var index = min(index, bytes.count)
    while index > 0, index < bytes.count, bytes[index] & 0xC0 == 0x80 { index -= 1 }
    return index
}
