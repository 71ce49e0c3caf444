import Domain
import Synchronization
import TestSupport
import Testing

@testable import Trackers

/// What trackers and collectors hear of the trace that a request belongs to.
struct TracingTests {
    private let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test func `a tracker gets the trace, each request as a piece of work of its own`()
        async throws
    {
        let service = try ScriptedService { call in
            call.index == 0 ? .answer(502, text: "") : .answer(text: #"{"login":"ann","id":1}"#)
        }
        let client = try service.client(.github)
        let spans = Mutex<[Span]>([])
        let context = try #require(TraceContext(parent: parent, state: "vendor=1"))
        let trace = Trace(context) { span in spans.withLock { $0.append(span) } }
        _ = try await Trace.$current.withValue(trace) { try await client.verify() }
        _ = try await client.verify()
        let heard = service.calls.map { TraceContext(parent: $0.headers["traceparent"] ?? "") }
        let recorded = spans.withLock { $0 }
        // The first was tried again; what belongs to no trace says nothing of one.
        #expect(heard.count == 3 && heard[2] == nil && recorded.count == 2)
        for (seen, span) in zip(heard, recorded) {
            #expect(seen?.traceText == context.traceText && seen?.span == span.context.span)
            #expect(span.parent == context.span && span.kind == .client)
            #expect(span.attributes["server.address"] == "127.0.0.1")
        }
        #expect(heard[0]?.span != heard[1]?.span)
        #expect(recorded.map(\.isFailure) == [true, false])
        #expect(service.calls[0].headers["tracestate"] == "vendor=1")
    }
}
