import Crypto
package import Domain

/// A secret that means nothing by itself: the store knows its digest.
///
/// It says which account it belongs to, so that every look-up binds one.
package struct OpaqueToken: Sendable, Equatable {
    /// What a token is for; its first characters.
    package enum Kind: String, CaseIterable, Sendable {
        case apiKey = "plk"
        case refresh = "plr"
        case setup = "pls"
        case approval = "pla"
    }

    /// 40 of 62 characters are 238 bits.
    private static let secretCharacters = 40
    private static let alphabet = Array(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    )
    /// Characters of a key that are shown to tell it from others, besides what all have.
    private static let shownCharacters = 4

    package let kind: Kind
    package let account: AccountID
    package let text: String

    /// A new one.
    package init(_ kind: Kind, account: AccountID) {
        self.kind = kind
        self.account = account
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<Self.secretCharacters).map { _ in
            Self.alphabet[Int.random(in: 0..<Self.alphabet.count, using: &generator)]
        }
        text = "\(kind.rawValue)_\(account)_\(String(secret))"
    }

    /// One that somebody came with; nil for what has not the form of one.
    package init?(_ kind: Kind, _ text: String) {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard text.utf8.count <= 96, parts.count == 3, parts[0] == kind.rawValue,
            let account = Int64(parts[1]), account > 0, String(account) == parts[1],
            parts[2].utf8.count == Self.secretCharacters,
            parts[2].utf8.allSatisfy({ byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            })
        else { return nil }
        self.kind = kind
        self.account = AccountID(account)
        self.text = text
    }

    /// What the store keeps, without a salt: the secret is random already.
    package var digest: [UInt8] { Array(SHA256.hash(data: Array(text.utf8))) }

    /// The beginning, by which its owner knows it again.
    package var prefix: String {
        String(text.dropLast(Self.secretCharacters - Self.shownCharacters))
    }
}
