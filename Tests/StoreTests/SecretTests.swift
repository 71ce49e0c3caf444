import Domain
import Foundation
import Store
import StoreTestSupport
import Testing

struct SecretTests {
    private let owner = SecretOwner.tracker(TrackerID(5), account: AccountID(1))

    private func box(_ key: String = "0123456789abcdef0123456789abcdef") throws -> SecretBox {
        try SecretBox(keyMaterial: Secret(key))
    }

    @Test func `a secret opens with its key in its row`() throws {
        let sealed = try box().seal(Secret("ghp_t\u{f6}ken"), for: owner)
        #expect(try box().open(sealed, for: owner).reveal() == "ghp_t\u{f6}ken")
        #expect(try box().seal(Secret("ghp_t\u{f6}ken"), for: owner) != sealed, "nonces differ")
    }

    @Test func `another key, row or account does not open it`() throws {
        let sealed = try box().seal(Secret("token"), for: owner)
        let refusal = StoreError.undecryptable(name: "the credential of tracker 5")
        #expect(throws: refusal) {
            try box("another key of 16 characters").open(sealed, for: owner)
        }
        #expect(throws: StoreError.self) {
            try box().open(sealed, for: .tracker(TrackerID(6), account: AccountID(1)))
        }
        #expect(throws: StoreError.self) {
            try box().open(sealed, for: .tracker(TrackerID(5), account: AccountID(2)))
        }
    }

    @Test func `no change or cut of any byte goes unnoticed`() throws {
        let sealed = try box().seal(Secret("token"), for: owner)
        for index in sealed.bytes.indices {
            var changed = sealed
            changed.bytes[index] ^= 1
            #expect(throws: StoreError.self) { try box().open(changed, for: owner) }
            let cut = SealedSecret(bytes: Array(sealed.bytes.prefix(index)))
            #expect(throws: StoreError.self) { try box().open(cut, for: owner) }
        }
    }

    @Test func `a short key is refused`() {
        #expect(throws: StoreError.self) { try box("password") }
    }

    @Test func `a secret shows itself nowhere`() {
        let secret = Secret("hunter2")
        var dumped = ""
        dump(secret, to: &dumped)
        dump(["a": secret], to: &dumped)
        let shown = "\(secret) \(String(reflecting: secret)) \(String(describing: [secret]))"
        #expect(!(dumped + shown).contains("hunter2"))
        #expect("\(secret)" == "<redacted>")
    }

    @Test func `the key file is made once, for its owner alone`() throws {
        let directory = try ScratchDirectory()
        let file = SecretKeyFile(home: directory.path)
        #expect(throws: StoreError.self) { try file.read() }
        try file.create()
        let key = try file.read()
        try file.create()
        #expect(try file.read() == key)
        let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        #expect(names == ["secret.key"])
    }

    @Test(arguments: [
        "", "abc", String(repeating: "g", count: 64), String(repeating: "a", count: 65),
    ])
    func `a key file that holds no key is refused`(text: String) throws {
        let directory = try ScratchDirectory()
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory.path("secret.key")))
        #expect(throws: StoreError.self) { try SecretKeyFile(home: directory.path).read() }
    }
}
