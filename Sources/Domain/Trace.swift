/// Where a piece of work stands in a trace that may span several programs (W3C Trace Context).
package struct TraceContext: Sendable, Hashable {
    /// 128 bits, not all zero.
    package let trace: TraceID
    /// The piece of work itself; not zero.
    package let span: UInt64
    /// Whether somebody keeps the trace.
    package var isSampled: Bool
    /// `tracestate` as it came, for whoever understands it.
    package var state: String?

    /// Names a trace.
    package struct TraceID: Sendable, Hashable {
        package let high: UInt64
        package let low: UInt64
    }

    /// The greatest `tracestate` that is passed on; the standard asks for no more.
    private static let maximumStateBytes = 512

    private init(trace: TraceID, span: UInt64, isSampled: Bool, state: String?) {
        self.trace = trace
        self.span = span
        self.isSampled = isSampled
        self.state = state
    }

    /// The beginning of a trace of our own.
    package init(isSampled: Bool) {
        let bits = TraceID(high: UInt64.random(in: 0...UInt64.max), low: Self.random())
        self.init(trace: bits, span: Self.random(), isSampled: isSampled, state: nil)
    }

    /// What a caller says of itself; nil when `traceparent` is none.
    ///
    /// Of a later version only what the first has is read, as the standard says.
    package init?(parent: String, state: String? = nil) {
        let parts = parent.utf8.split(
            separator: UInt8(ascii: "-"),
            maxSplits: 4,
            omittingEmptySubsequences: false
        ).map(Array.init)
        guard parts.count >= 4, let version = Self.number(parts[0], digits: 2), version != 0xFF,
            version != 0 || parts.count == 4, parts[1].count == 32,
            let high = Self.number(Array(parts[1].prefix(16)), digits: 16),
            let low = Self.number(Array(parts[1].suffix(16)), digits: 16), high != 0 || low != 0,
            let span = Self.number(parts[2], digits: 16), span != 0,
            let flags = Self.number(parts[3], digits: 2)
        else { return nil }
        let isPassedOn = state.map { text in
            !text.isEmpty && text.utf8.count <= Self.maximumStateBytes
                && text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
        }
        self.init(
            trace: TraceID(high: high, low: low),
            span: span,
            isSampled: flags & 1 == 1,
            state: isPassedOn == true ? state : nil
        )
    }

    /// A piece of work that this one makes necessary.
    package func child() -> TraceContext {
        TraceContext(trace: trace, span: Self.random(), isSampled: isSampled, state: state)
    }

    /// The value of `traceparent`.
    package var header: String { "00-\(traceText)-\(spanText)-\(isSampled ? "01" : "00")" }
    /// The trace as 32 hexadecimal digits.
    package var traceText: String {
        hexadecimal(trace.high, digits: 16) + hexadecimal(trace.low, digits: 16)
    }
    /// The piece of work as 16 hexadecimal digits.
    package var spanText: String { hexadecimal(span, digits: 16) }

    private static func random() -> UInt64 { UInt64.random(in: 1...UInt64.max) }

    /// Lower case alone, as the standard has it.
    private static func number(_ text: [UInt8], digits: Int) -> UInt64? {
        guard text.count == digits else { return nil }
        var number: UInt64 = 0
        for byte in text {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(byte - 48)
            case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt64(byte - 87)
            default: return nil
            }
        }
        return number
    }
}

/// A piece of work that has ended, for whoever collects them.
package struct Span: Sendable {
    /// On which side of a conversation the work was done.
    package enum Kind: Int, Sendable {
        // As OTLP numbers them.
        case `internal` = 1
        case server = 2
        case client = 3
    }

    /// Of few different ones: a route, a method, never an address.
    package var name: String
    package var kind: Kind
    package var context: TraceContext
    /// The work that made it necessary; nil for the first of a trace.
    package var parent: UInt64?
    package var end: Timestamp
    package var duration: Duration
    package var attributes = JSONObject()
    package var isFailure = false

    package init(
        _ name: String,
        _ kind: Kind,
        _ trace: Trace,
        parent: UInt64?,
        end: Timestamp,
        duration: Duration
    ) {
        self.name = name
        self.kind = kind
        context = trace.context
        self.parent = parent
        self.end = end
        self.duration = duration
    }
}

/// What collects spans, and where the work at hand stands.
package struct Trace: Sendable {
    /// Takes a span; returns at once, whatever becomes of it.
    package typealias Recorder = @Sendable (Span) -> Void

    package let context: TraceContext
    /// Nil when nobody collects.
    package let record: Recorder?

    package init(_ context: TraceContext, record: Recorder?) {
        self.context = context
        self.record = record
    }

    /// Of the task at hand; nil outside of any trace.
    @TaskLocal package static var current: Trace?

    /// Where a request that comes in stands, and the work it came from.
    ///
    /// Nil when it belongs to no trace and nobody collects any.
    ///
    /// - Parameters:
    ///   - parent: `traceparent` as it came.
    ///   - state: `tracestate` as it came.
    ///   - record: What collects spans.
    /// - Returns: The request's own place, and the span that caused it.
    package static func entered(
        by parent: String?,
        state: String? = nil,
        record: Recorder?
    ) -> (trace: Trace, parent: UInt64?)? {
        if let parent, let context = TraceContext(parent: parent, state: state) {
            return (Trace(context.child(), record: record), context.span)
        }
        guard let record else { return nil }
        return (Trace(TraceContext(isSampled: true), record: record), nil)
    }

    /// A piece of work that this one makes necessary.
    package func child() -> Trace { Trace(context.child(), record: record) }

    /// Records the end of the work, where somebody wants to hear of it.
    package func end(_ span: () -> Span) {
        if let record, context.isSampled { record(span()) }
    }
}
