import Domain
import Synchronization
import Testing

struct TraceTests {
    private let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test func `a parent is read, and its child is of the same trace`() throws {
        let context = try #require(TraceContext(parent: parent, state: "vendor=1"))
        #expect(context.header == parent)
        let child = context.child()
        #expect(child.traceText == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(child.span != context.span && child.isSampled && child.state == "vendor=1")
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        #expect(TraceContext(parent: unsampled)?.isSampled == false)
        // A later version may have more; of this one only what is known counts.
        #expect(TraceContext(parent: "01" + parent.dropFirst(2) + "-more") != nil)
    }

    @Test(arguments: [
        "", "00", "nonsense", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ])
    func `what is no parent is none`(_ text: String) {
        #expect(TraceContext(parent: text) == nil)
    }

    @Test func `a state that is too long or has control characters is left out`() {
        let long = String(repeating: "a", count: 513)
        #expect(TraceContext(parent: parent, state: long)?.state == nil)
        #expect(TraceContext(parent: parent, state: "a=1\r\nX: y")?.state == nil)
        #expect(TraceContext(parent: parent, state: "")?.state == nil)
    }

    @Test func `only what somebody wants to hear of is recorded`() throws {
        let names = Mutex<[String]>([])
        let record: Trace.Recorder = { span in names.withLock { $0.append(span.name) } }
        func end(_ trace: Trace, _ name: String) {
            let now = Timestamp(milliseconds: 0)
            trace.end { Span(name, .internal, trace, parent: nil, end: now, duration: .zero) }
        }
        let (sampled, caller) = try #require(Trace.entered(by: parent, record: record))
        #expect(caller == 0x00f0_67aa_0ba9_02b7 && sampled.context.span != caller)
        end(sampled, "sampled")
        let off = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        end(try #require(Trace.entered(by: off, record: record)).trace, "unsampled")
        let own = try #require(Trace.entered(by: "nonsense", record: record))
        #expect(own.parent == nil && own.trace.context.isSampled)
        end(own.trace, "own")
        #expect(names.withLock { $0 } == ["sampled", "own"])
        // A caller's trace goes on where nobody collects; no new one begins.
        #expect(Trace.entered(by: parent, record: nil) != nil)
        #expect(Trace.entered(by: nil, record: nil) == nil)
    }
}
