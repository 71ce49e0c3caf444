import Testing

@testable import Firewall

/// Names that only look the same are two: `==` on texts calls composed and decomposed letters
/// equal.
struct ByteNamesTests {
    private static let (composed, decomposed) = ("ren\u{E9}", "rene\u{301}")

    @Test(arguments: [Approver.Kind.user, .local, .link, .model])
    func `approvers are told apart by the bytes of their names`(_ kind: Approver.Kind) {
        let (one, other) = (Approver(kind, Self.composed), Approver(kind, Self.decomposed))
        #expect(one != other && !one.isSamePerson(as: other))
        #expect(one == Approver(kind, Self.composed) && one.isSamePerson(as: one))
        #expect(Set([one, other, one]).count == 2)
    }

    @Test func `tools are told apart by the bytes of both names`() {
        let one = ToolIdentity(server: "up", name: Self.composed)
        #expect(one == ToolIdentity(server: "up", name: Self.composed))
        #expect(one != ToolIdentity(server: "up", name: Self.decomposed))
        #expect(
            ToolIdentity(server: Self.composed, name: "a")
                != ToolIdentity(server: Self.decomposed, name: "a")
        )
        #expect(ToolIdentity(name: "a") != ToolIdentity(server: "", name: "a"))
    }
}
