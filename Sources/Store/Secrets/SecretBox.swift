import Crypto
package import Domain
import Foundation

/// A secret as it is stored: format 1, nonce, ciphertext, tag.
package struct SealedSecret: Sendable, Hashable {
    /// The bytes of the column.
    package var bytes: [UInt8]

    /// Wraps the bytes of the column.
    package init(bytes: [UInt8]) {
        self.bytes = bytes
    }
}

/// Whose secret it is.
///
/// The row's identity is authenticated with the ciphertext, so that a sealed secret
/// copied into another row does not open there.
package enum SecretOwner: Sendable, Hashable {
    case tracker(TrackerID, account: AccountID)
    /// What an organisation's deliveries are signed with.
    case webhook(OrganizationID, account: AccountID)
    /// What an upstream MCP server wants to see, and the variables of its program.
    case upstream(UpstreamServerID, account: AccountID)
    /// The call that waits for an approval.
    case heldCall(String, account: AccountID)
    /// What came of it.
    case heldResult(String, account: AccountID)
    /// What a client brings back from the page of an approval.
    case approvalState(account: AccountID)
    /// What a browser brings back from an authorization server.
    case signInState(account: AccountID)

    fileprivate var associatedData: [UInt8] {
        switch self {
        case .tracker(let tracker, let account):
            Array("preloop/1/accounts/\(account)/trackers/\(tracker)/credential".utf8)
        case .webhook(let organization, let account):
            Array("preloop/1/accounts/\(account)/organizations/\(organization)/webhook".utf8)
        case .upstream(let server, let account):
            Array("preloop/1/accounts/\(account)/upstreams/\(server)/credential".utf8)
        case .heldCall(let request, let account):
            Array("preloop/1/accounts/\(account)/approvals/\(request)/call".utf8)
        case .heldResult(let request, let account):
            Array("preloop/1/accounts/\(account)/approvals/\(request)/result".utf8)
        case .approvalState(let account):
            Array("preloop/1/accounts/\(account)/approvals/state".utf8)
        case .signInState(let account):
            Array("preloop/1/accounts/\(account)/upstreams/sign-in".utf8)
        }
    }

    fileprivate var name: String {
        switch self {
        case .tracker(let tracker, _): "the credential of tracker \(tracker)"
        case .webhook(let organization, _): "the webhook secret of organisation \(organization)"
        case .upstream(let server, _): "the credential of MCP server \(server)"
        case .heldCall(let request, _): "the call of approval request \(request)"
        case .heldResult(let request, _): "the result of approval request \(request)"
        case .approvalState: "the state of a call that waits for approval"
        case .signInState: "the state of a sign-in at an MCP server"
        }
    }
}

/// Seals and opens the secrets of an installation with AES-256-GCM.
package struct SecretBox: Sendable {
    /// Leaves room for another cipher without another column.
    private static let format: UInt8 = 1
    /// Tokens are below 4 KiB; what is longer is a file given by mistake.
    package static let maximumSecretBytes = 65_536
    /// A call's arguments have at most a message's bytes, a result at most four mebibytes.
    package static let maximumDocumentBytes = 16 << 20
    /// 16 random bytes are the least that is worth AES; shorter ones are words.
    package static let minimumKeyBytes = 16

    private let key: SymmetricKey
    /// What all keys are derived from.
    let material: SymmetricKey
    /// Signs access tokens; says nothing about the key that seals.
    package let signingKey: [UInt8]

    /// Derives the key by HKDF-SHA256, so that `SECRET_KEY` may be any long random text.
    ///
    /// - Throws: ``StoreError/unavailable(detail:)`` when there is too little of it.
    package init(keyMaterial: Secret) throws(StoreError) {
        let bytes = Array(keyMaterial.reveal().utf8)
        guard bytes.count >= Self.minimumKeyBytes else {
            throw .unavailable(
                detail: "the secret key has less than \(Self.minimumKeyBytes) characters"
            )
        }
        material = SymmetricKey(data: bytes)
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: material,
            salt: Array("preloop".utf8),
            info: Array("preloop secrets, format 1".utf8),
            outputByteCount: 32
        )
        let signing = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: material,
            salt: Array("preloop".utf8),
            info: Array("preloop access tokens, format 1".utf8),
            outputByteCount: 32
        )
        signingKey = unsafe signing.withUnsafeBytes { unsafe Array($0) }
    }

    /// Seals a secret for one row.
    package func seal(
        _ secret: Secret,
        for owner: SecretOwner
    ) throws(StoreError) -> SealedSecret {
        let text = Array(secret.reveal().utf8)
        guard text.count <= Self.maximumSecretBytes else {
            throw .unavailable(detail: "a secret of \(text.count) bytes is not a token")
        }
        return try seal(bytes: text, for: owner)
    }

    /// Seals a document for one row.
    package func seal(
        bytes: [UInt8],
        for owner: SecretOwner
    ) throws(StoreError) -> SealedSecret {
        guard bytes.count <= Self.maximumDocumentBytes else {
            throw .unavailable(
                detail: "\(owner.name) has more than \(Self.maximumDocumentBytes) bytes"
            )
        }
        do {
            let box = try AES.GCM.seal(bytes, using: key, authenticating: owner.associatedData)
            guard let combined = box.combined else {
                throw StoreError.unavailable(detail: "cannot seal \(owner.name)")
            }
            return SealedSecret(bytes: [Self.format] + combined)
        } catch {
            throw .unavailable(detail: "cannot seal \(owner.name)")
        }
    }

    /// Opens what was sealed for the same row with the same key.
    ///
    /// - Throws: ``StoreError/undecryptable(name:)`` for anything else.
    package func open(
        _ sealed: SealedSecret,
        for owner: SecretOwner
    ) throws(StoreError) -> Secret {
        Secret(String(decoding: try openBytes(sealed, for: owner), as: UTF8.self))
    }

    /// Opens a document that was sealed for the same row with the same key.
    ///
    /// - Throws: ``StoreError/undecryptable(name:)`` for anything else.
    package func openBytes(
        _ sealed: SealedSecret,
        for owner: SecretOwner
    ) throws(StoreError) -> [UInt8] {
        guard sealed.bytes.first == Self.format else { throw .undecryptable(name: owner.name) }
        do {
            let box = try AES.GCM.SealedBox(combined: sealed.bytes.dropFirst())
            return try Array(AES.GCM.open(box, using: key, authenticating: owner.associatedData))
        } catch {
            throw .undecryptable(name: owner.name)
        }
    }
}
