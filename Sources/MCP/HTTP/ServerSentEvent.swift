/// One event of a `text/event-stream` (HTML Living Standard, section 9.2).
package struct ServerSentEvent: Sendable, Equatable {
    /// Where a client goes on after it.
    package var id: String?
    /// One line for each line of data.
    package var data: String
    /// Milliseconds after which a client comes back.
    package var retry: Int?

    package init(id: String? = nil, data: String, retry: Int? = nil) {
        self.id = id
        self.data = data
        self.retry = retry
    }

    /// As it goes over the wire.
    package var bytes: [UInt8] {
        var text = ""
        if let id { text += "id: \(id)\n" }
        if let retry { text += "retry: \(retry)\n" }
        // Splitting on bytes: a carriage return and a line feed are one character to Swift.
        for line in data.utf8.split(separator: 10, omittingEmptySubsequences: false) {
            text += "data: \(String(decoding: line, as: UTF8.self))\n"
        }
        return Array((text + "\n").utf8)
    }

    /// A line that says nothing and keeps the connection open.
    package static let keepAlive: [UInt8] = Array(": \n\n".utf8)
}

/// Which event of which stream: what `Last-Event-ID` names.
package struct EventID: Sendable, Hashable {
    package var stream: Int
    /// From 1 within the stream.
    package var number: Int

    package init(stream: Int, number: Int) {
        self.stream = stream
        self.number = number
    }

    /// Reads `stream-number`; nil for what is no identifier of ours.
    package init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.count == 2, let stream = Int(String(decoding: parts[0], as: UTF8.self)),
            let number = Int(String(decoding: parts[1], as: UTF8.self)), stream >= 0, number >= 0
        else { return nil }
        self.init(stream: stream, number: number)
    }

    /// As it stands in an event.
    package var text: String { "\(stream)-\(number)" }
}

/// The latest events of a session's streams, kept for clients that lost their connection.
package struct EventLog: Sendable {
    /// How much is kept.
    package struct Limits: Sendable, Equatable {
        package var events = 1_000
        package var bytes = 4 << 20

        package init() {}
    }

    /// Why events cannot be given again.
    package enum ReplayError: Error, Equatable, Sendable {
        /// There never was such an event.
        case unknown
        /// There was, and what followed it is not kept any more.
        case forgotten
    }

    private struct Entry: Sendable {
        var id: EventID
        var data: String
    }

    private let limits: Limits
    /// What this log may keep of what all may; nil when only its own limits count.
    private let share: EventBudget.Share?
    /// Oldest first, of all streams.
    private var entries: [Entry] = []
    private var byteCount = 0
    /// The number of the last event of each stream.
    private var last: [Int: Int] = [:]
    /// The number of the last event of each stream that was forgotten.
    private var forgotten: [Int: Int] = [:]

    package init(limits: Limits = Limits(), budget: EventBudget? = nil) {
        self.limits = limits
        share = budget.map { EventBudget.Share(of: $0) }
    }

    /// Keeps an event and gives it its identifier; the oldest ones make room.
    ///
    /// Where all logs together are full, this one gives up its own events first, and keeps the new
    /// one only if that was enough.
    package mutating func append(_ data: String, to stream: Int) -> EventID {
        let id = EventID(stream: stream, number: last[stream, default: 0] + 1)
        last[stream] = id.number
        let count = data.utf8.count
        while !entries.isEmpty,
            entries.count >= limits.events || byteCount + count > limits.bytes
        {
            forgetOldest()
        }
        var isKept = count <= limits.bytes && share?.take(count) != false
        while !isKept, !entries.isEmpty {
            forgetOldest()
            isKept = count <= limits.bytes && share?.take(count) != false
        }
        if isKept {
            entries.append(Entry(id: id, data: data))
            byteCount += count
        } else {
            forgotten[stream] = id.number
        }
        return id
    }

    /// Forgets every event; the identifiers go on.
    package mutating func forget() {
        while !entries.isEmpty { forgetOldest() }
    }

    private mutating func forgetOldest() {
        let oldest = entries.removeFirst()
        let count = oldest.data.utf8.count
        byteCount -= count
        share?.give(count)
        forgotten[oldest.id.stream] = oldest.id.number
    }

    /// The events of the same stream after one that a client has seen.
    package func events(after id: EventID) throws(ReplayError) -> [ServerSentEvent] {
        guard let newest = last[id.stream], id.number <= newest else { throw .unknown }
        guard id.number >= forgotten[id.stream, default: 0] else { throw .forgotten }
        return entries.filter { $0.id.stream == id.stream && $0.id.number > id.number }
            .map { ServerSentEvent(id: $0.id.text, data: $0.data) }
    }
}
