import Domain
import HTTPClient

/// The line numbers of a unified diff of one file.
struct DiffLines {
    private var hunks: [Hunk] = []

    private struct Hunk {
        var oldStart: Int
        var newStart: Int
        /// Each line's mark: space, `+` or `-`.
        var marks: [UInt8]
    }

    /// How the two files number one line.
    struct Numbers: Equatable {
        /// Nil for an added line.
        var old: Int?
        /// Nil for a removed line.
        var new: Int?
    }

    init(patch: String) {
        for line in patch.utf8.split(separator: 0x0A, omittingEmptySubsequences: true) {
            if line.starts(with: "@@".utf8) {
                let numbers = Self.starts(String(decoding: Array(line.prefix(200)), as: UTF8.self))
                if let numbers {
                    hunks.append(Hunk(oldStart: numbers.old, newStart: numbers.new, marks: []))
                }
            } else if let first = line.first, " +-".utf8.contains(first), !hunks.isEmpty {
                hunks[hunks.count - 1].marks.append(first)
            }
        }
    }

    /// The starts in `@@ -10,4 +12,6 @@`.
    private static func starts(_ head: String) -> (old: Int, new: Int)? {
        let words = head.split(separator: " ")
        guard words.count >= 3, let old = number(words[1], "-"), let new = number(words[2], "+")
        else { return nil }
        return (old, new)
    }

    /// More lines than any file has: lines can be counted on from there.
    private static let highestLine = 1_000_000_000

    private static func number(_ word: Substring, _ sign: String) -> Int? {
        guard word.hasPrefix(sign), let number = Int(word.dropFirst().prefix { $0 != "," }),
            (0...highestLine).contains(number)
        else { return nil }
        return number
    }

    /// Both numbers of the line that has `line` on `side`; lines between hunks are the same in both
    /// files.
    func numbers(of line: Int, on side: DiffSide) -> Numbers {
        // What must be added to an old number to get the new one.
        var shift = 0
        for hunk in hunks {
            var old = hunk.oldStart
            var new = hunk.newStart
            if side == .right ? line < new : line < old { break }
            for mark in hunk.marks {
                let isOld = mark != UInt8(ascii: "+")
                let isNew = mark != UInt8(ascii: "-")
                if side == .right ? isNew && new == line : isOld && old == line {
                    return Numbers(old: isOld ? old : nil, new: isNew ? new : nil)
                }
                if isOld { old += 1 }
                if isNew { new += 1 }
            }
            shift = new - old
        }
        return side == .right
            ? Numbers(old: line - shift, new: line) : Numbers(old: line, new: line + shift)
    }

    /// The lines of one side that the diff shows, in their order.
    func shown(on side: DiffSide) -> [ClosedRange<Int>] {
        let other = side == .right ? UInt8(ascii: "-") : UInt8(ascii: "+")
        return hunks.compactMap { hunk in
            let start = side == .right ? hunk.newStart : hunk.oldStart
            let count = hunk.marks.count { $0 != other }
            return count > 0 ? start...(start + count - 1) : nil
        }
    }

    /// Added and removed lines.
    var counts: (additions: Int, deletions: Int) {
        let marks = hunks.flatMap(\.marks)
        return (
            marks.count { $0 == UInt8(ascii: "+") }, marks.count { $0 == UInt8(ascii: "-") }
        )
    }
}

extension TrackerSession {
    /// The rows of a list up to a number of pages; unreadable ones are left out.
    func rows<Item>(
        at path: String,
        paging: @Sendable (QueryString) -> PageParameters,
        in keys: [String] = [],
        acceptedStatuses: Set<Int> = [],
        read: (FieldReader) throws(FieldError) -> Item
    ) async throws(TrackerError) -> (items: [Item], isComplete: Bool) {
        var items: [Item] = []
        var query: QueryString? = ["per_page": "100"]
        for _ in 0..<PullRequestLimits.pageCount {
            guard let current = query else { break }
            let list = try await list(
                TrackerRequest(
                    path: path,
                    query: current,
                    acceptedStatuses: acceptedStatuses,
                    paging: paging(current)
                ),
                at: keys
            )
            items += list.read(read).compactMap { try? $0.get() }
            query = list.response.headers.nextPageQuery
        }
        return (items, query == nil)
    }
}
