import Synchronization

/// Bytes on their way from the HTTP client's thread to a task, bounded: who sends faster than is
/// read is cut off.
final class ByteMailbox: Sendable {
    private struct Contents {
        var pieces: [[UInt8]] = []
        var byteCount = 0
        var isOver = false
        var reader: CheckedContinuation<[UInt8]?, Never>?
    }

    private let limit: Int
    private let contents = Mutex(Contents())

    init(limit: Int) {
        self.limit = limit
    }

    /// Puts a piece in; false when there is no room for it.
    func put(_ piece: [UInt8]) -> Bool {
        let (hasRoom, reader) = contents.withLock { contents in
            if let reader = contents.reader {
                contents.reader = nil
                return (true, CheckedContinuation?.some(reader))
            }
            guard contents.byteCount + piece.count <= limit else { return (false, nil) }
            contents.pieces.append(piece)
            contents.byteCount += piece.count
            return (true, nil)
        }
        reader?.resume(returning: piece)
        return hasRoom
    }

    /// Nothing more will come.
    func finish() {
        let reader = contents.withLock { contents in
            contents.isOver = true
            defer { contents.reader = nil }
            return contents.reader
        }
        reader?.resume(returning: nil)
    }

    /// All that has come, or what comes next; nil when it is over.
    ///
    /// For one reader.
    func next() async -> [UInt8]? {
        await withCheckedContinuation { continuation in
            let (isReady, piece) = contents.withLock { contents -> (Bool, [UInt8]?) in
                if !contents.pieces.isEmpty {
                    defer {
                        contents.pieces = []
                        contents.byteCount = 0
                    }
                    let all =
                        contents.pieces.count == 1
                        ? contents.pieces[0] : contents.pieces.flatMap { $0 }
                    return (true, all)
                }
                if contents.isOver { return (true, nil) }
                contents.reader = continuation
                return (false, nil)
            }
            if isReady { continuation.resume(returning: piece) }
        }
    }
}
