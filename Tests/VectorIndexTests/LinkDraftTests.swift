import Testing

@testable import VectorIndex

/// Copies are found by slot and layer, stay where they are, and are forgotten together.
@Suite struct LinkDraftTests {
    /// From a few to more than the blocks that are kept, and few again.
    @Test func `copies are found again however many there are`() {
        let draft = LinkDraft(byteCount: 64)
        for (round, count) in [3, 200, 5_000, 3, 1_024, 1_025, 0, 7].enumerated() {
            let keys = (0..<count).map { index in
                LinkDraft.Key(slot: UInt32(index / 3), layer: UInt32(index % 3))
            }
            for (number, key) in keys.enumerated() {
                #expect(draft.number(of: key) == nil)
                #expect(draft.add(key) == number)
                let memory = unsafe draft.memory(number)
                unsafe memory.storeBytes(of: UInt64(number), as: UInt64.self)
                unsafe memory.storeBytes(of: UInt64(round), toByteOffset: 56, as: UInt64.self)
            }
            #expect(draft.count == count)
            for (number, key) in keys.enumerated() {
                #expect(draft.number(of: key) == number && draft.key(number) == key)
                let memory = unsafe draft.memory(number)
                let first = unsafe memory.load(as: UInt64.self)
                let last = unsafe memory.load(fromByteOffset: 56, as: UInt64.self)
                #expect(first == UInt64(number) && last == UInt64(round))
            }
            #expect(draft.number(of: LinkDraft.Key(slot: 1, layer: 3)) == nil)
            draft.clear()
            #expect(draft.count == 0 && keys.allSatisfy { draft.number(of: $0) == nil })
        }
    }
}
