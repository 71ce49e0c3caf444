import Crypto
import CryptoExtras
import Dispatch
import Domain

/// Turns passwords into hashes that are slow to guess, a few at a time.
///
/// scrypt (RFC 7914) with 32 MiB: what somebody who stole the table must spend on each guess. It
/// is what the server spends on each sign-in, too; so few run at once, and a crowd is turned away.
package struct PasswordHasher: Sendable {
    /// What one hash costs: 2^15 · 8 · 128 bytes of memory, about 0.1 s.
    private static let logRounds = 15
    private static let blockSize = 8
    private static let parallelism = 1
    private static let hashBytes = 32
    private static let saltBytes = 16
    /// A hash of a stranger's table could ask for more than the machine has.
    private static let maximumLogRounds = 20
    /// Longer ones are no passwords; hashing one would cost more than its text.
    package static let maximumPasswordBytes = 1_024
    /// Guessing eight characters that somebody chose takes a stolen table's reader days.
    package static let minimumPasswordCharacters = 10

    /// Where hashes wait for their turn.
    let gate: WorkGate
    /// Compared with where there is no user, so that the time tells nobody which names exist.
    private let decoy: String

    /// - Parameters:
    ///   - running: Hashes at once; each takes a core and 32 MiB.
    ///   - waiting: Those who wait for one.
    package init(running: Int = 2, waiting: Int = 32) {
        gate = WorkGate(running: running, waiting: waiting)
        let zeros = [UInt8](repeating: 0, count: Self.hashBytes)
        decoy = Self.text(
            logRounds: Self.logRounds,
            salt: Array(zeros.prefix(Self.saltBytes)),
            hash: zeros
        )
    }

    /// Why a password is not good enough; nil when it is.
    package static func weakness(of password: String) -> String? {
        if password.count < minimumPasswordCharacters {
            return "must have \(minimumPasswordCharacters) characters or more"
        }
        if password.utf8.count > maximumPasswordBytes {
            return "must have \(maximumPasswordBytes) bytes at most"
        }
        return nil
    }

    /// The hash of a password, with its parameters and a salt of its own.
    package func hash(_ password: String) async throws -> String {
        try await gate.run {
            var generator = SystemRandomNumberGenerator()
            let salt = (0..<Self.saltBytes).map { _ in UInt8.random(in: 0...255, using: &generator)
            }
            let key = try await Self.derive(password, salt, Self.logRounds)
            return Self.text(
                logRounds: Self.logRounds,
                salt: salt,
                hash: unsafe key.withUnsafeBytes { unsafe Array($0) }
            )
        }
    }

    /// Whether a password is the one of a hash; as slow for no hash at all.
    package func verify(_ password: String, against stored: String?) async throws -> Bool {
        guard password.utf8.count <= Self.maximumPasswordBytes else { return false }
        let parts = (stored ?? decoy).split(separator: "$")
        guard parts.count == 6, parts[0] == "scrypt", let logRounds = Int(parts[1]),
            (1...Self.maximumLogRounds).contains(logRounds), parts[2] == "\(Self.blockSize)",
            parts[3] == "\(Self.parallelism)", let salt = Base64URL.decode(parts[4]),
            let expected = Base64URL.decode(parts[5])
        else { return false }
        return try await gate.run {
            let key = try await Self.derive(password, salt, logRounds)
            // Compares in constant time.
            return key == SymmetricKey(data: expected) && stored != nil
        }
    }

    /// Not the threads that serve requests: there are as many as cores, and they must not stand
    /// still meanwhile.
    private static let queue = DispatchQueue(label: "preloop.passwords", attributes: .concurrent)

    private static func derive(
        _ password: String,
        _ salt: [UInt8],
        _ logRounds: Int
    ) async throws -> SymmetricKey {
        try await withCheckedThrowingContinuation { continuation in
            queue.async {
                continuation.resume(
                    with: Result {
                        try KDF.Scrypt.deriveKey(
                            from: Array(password.utf8),
                            salt: salt,
                            outputByteCount: hashBytes,
                            rounds: 1 << logRounds,
                            blockSize: blockSize,
                            parallelism: parallelism
                        )
                    }
                )
            }
        }
    }

    private static func text(logRounds: Int, salt: [UInt8], hash: [UInt8]) -> String {
        "scrypt$\(logRounds)$\(blockSize)$\(parallelism)$"
            + "\(Base64URL.encode(salt))$\(Base64URL.encode(hash))"
    }
}
