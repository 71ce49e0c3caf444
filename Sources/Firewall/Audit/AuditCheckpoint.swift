import Crypto
package import Domain

/// A place in an account's chain that somebody vouches for.
package struct AuditCheckpoint: Sendable, Equatable {
    /// What a checkpoint is for.
    ///
    /// It is signed with the rest, so that none can stand for another.
    package enum Kind: String, Sendable, CaseIterable {
        /// Where the chain ends now: moves with every event.
        case head
        /// One of those left behind on the way, which tell where a chain was made anew.
        case mark
        /// Where the chain begins after older events were removed.
        case cut
    }

    package var account: AccountID
    package var kind: Kind
    package var point: AuditChain.Point
    package var madeAt: Timestamp

    package init(
        account: AccountID,
        kind: Kind,
        point: AuditChain.Point,
        madeAt: Timestamp
    ) {
        self.account = account
        self.kind = kind
        self.point = point
        self.madeAt = madeAt
    }

    /// What is signed.
    fileprivate var bytes: [UInt8] {
        var bytes = Array("preloop audit checkpoint 1 \(kind.rawValue)\n".utf8)
        bytes.appendNumber(account.rawValue)
        bytes.appendNumber(point.sequence)
        bytes.appendNumber(madeAt.milliseconds)
        return bytes + point.hash
    }
}

/// A checkpoint with its signature.
package struct SignedCheckpoint: Sendable, Equatable {
    package var checkpoint: AuditCheckpoint
    /// Which key has signed; see ``AuditKey/id``.
    package var keyID: String
    package var signature: [UInt8]

    package init(_ checkpoint: AuditCheckpoint, keyID: String, signature: [UInt8]) {
        self.checkpoint = checkpoint
        self.keyID = keyID
        self.signature = signature
    }
}

/// Knows who has signed a checkpoint: an Ed25519 public key.
package struct AuditKey: Sendable, Equatable {
    /// The 32 bytes of the key.
    package let bytes: [UInt8]
    /// The first 8 bytes of the key's SHA-256, in hexadecimal digits.
    package let id: String

    /// Nil for what is no key.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
        id = hexadecimal(SHA256.hash(data: bytes).prefix(8))
    }

    /// Whether the checkpoint is as the owner of the key has signed it.
    package func hasSigned(_ signed: SignedCheckpoint) -> Bool {
        guard haveEqualBytes(signed.keyID, id),
            // A key that is none has signed nothing.
            let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes)
        else { return false }
        return key.isValidSignature(signed.signature, for: signed.checkpoint.bytes)
    }
}

/// Signs checkpoints with Ed25519.
package struct AuditSigner: Sendable {
    private let key: Curve25519.Signing.PrivateKey
    /// What others know its signatures by.
    package let publicKey: AuditKey

    /// The key of 32 secret bytes, the same for all processes of an installation; nil for another
    /// number of bytes.
    package init?(seed: [UInt8]) {
        guard seed.count == 32,
            // Any 32 bytes are a key; the initialiser checks the length once more.
            let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed),
            let publicKey = AuditKey(Array(key.publicKey.rawRepresentation))
        else { return nil }
        self.key = key
        self.publicKey = publicKey
    }

    /// The checkpoint with a signature.
    ///
    /// - Throws: What the library reports; there is no other cause than want of memory.
    package func sign(_ checkpoint: AuditCheckpoint) throws -> SignedCheckpoint {
        SignedCheckpoint(
            checkpoint,
            keyID: publicKey.id,
            signature: Array(try key.signature(for: checkpoint.bytes))
        )
    }
}
