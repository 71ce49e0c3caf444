/// Reads a `text/event-stream` piece by piece (HTML Living Standard, section 9.2.6).
package struct EventStreamParser: Sendable {
    /// One event that a server has sent.
    package struct Event: Sendable, Equatable {
        /// `message` when the stream names none.
        package var name: String
        package var data: [UInt8]
        /// The latest identifier of the stream; nil when there was none.
        package var id: String?
    }

    /// An event is greater than the limit.
    package struct TooLong: Error, Equatable, Sendable {}

    /// Milliseconds after which the server wants a client back; nil when it has not said.
    package private(set) var retry: Int?

    private let limit: Int
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var name = ""
    private var id: String?
    /// A line feed right behind a carriage return is part of the same line end.
    private var isAfterReturn = false
    private var isAtStart = true

    /// A parser for events of at most `limit` bytes.
    package init(limit: Int) {
        self.limit = limit
    }

    /// Takes what came and gives the events that are whole.
    package mutating func add(_ bytes: [UInt8]) throws(TooLong) -> [Event] {
        var events: [Event] = []
        var rest = bytes[...]
        if isAtStart, !rest.isEmpty {
            isAtStart = false
            if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest = rest.dropFirst(3) }
        }
        while let end = rest.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
            let isHalfEnd = isAfterReturn && end == rest.startIndex && rest[end] == 0x0A
            isAfterReturn = rest[end] == 0x0D
            if !isHalfEnd {
                try append(rest[..<end])
                if let event = endLine() { events.append(event) }
            }
            rest = rest[(end + 1)...]
        }
        if !rest.isEmpty { isAfterReturn = false }
        try append(rest)
        return events
    }

    private mutating func append(_ piece: ArraySlice<UInt8>) throws(TooLong) {
        guard line.count + data.count + piece.count <= limit else { throw TooLong() }
        line.append(contentsOf: piece)
    }

    private mutating func endLine() -> Event? {
        defer { line = [] }
        guard !line.isEmpty else { return dispatched() }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        var value = line[min(colon + 1, line.endIndex)...]
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        switch String(decoding: line[..<colon], as: UTF8.self) {
        case "data":
            if hasData { data.append(0x0A) }
            hasData = true
            data.append(contentsOf: value)
        case "event": name = String(decoding: value, as: UTF8.self)
        case "id" where !value.contains(0): id = String(decoding: value, as: UTF8.self)
        case "retry":
            retry = Int(String(decoding: value, as: UTF8.self)).flatMap { $0 < 0 ? nil : $0 }
        // A comment, or a field of a later time.
        default: break
        }
        return nil
    }

    private mutating func dispatched() -> Event? {
        defer {
            data = []
            name = ""
            hasData = false
        }
        guard hasData else { return nil }
        return Event(name: name.isEmpty ? "message" : name, data: data, id: id)
    }
}
