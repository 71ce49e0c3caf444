import Domain
import TestSupport
import Testing

@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct FakeTrackersTests {
    @Test func `the reference services start, answer, change and stop`() async throws {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let before = try await fake.truth(tracker: "github", project: "edge/ties")
        #expect(before.items.count == 150)
        try await fake.mutate([
            "tracker": "github", "project": "edge/ties", "number": 1, "delete": true,
        ])
        let after = try await fake.truth(tracker: "github", project: "edge/ties")
        #expect(after.items.count == 149)
        #expect(try await fake.stats()["requests"]?.integer ?? 0 > 2)
    }

    @Test func `digests are those of FIPS 180-4`() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        let long = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        let twoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
        #expect(sha256(Array("abc".utf8)) == abc)
        #expect(sha256(Array(twoBlocks.utf8)) == long)
    }
}
