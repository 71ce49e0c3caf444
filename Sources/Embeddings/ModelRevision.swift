import Crypto
import Domain
import LinearAlgebra

/// The digest in ``ModelIdentity/revision``.
enum ModelRevision {
    /// Blocks of the weights that are hashed, and bytes in each.
    static let sampleCount = 64
    static let sampleByteCount = 4096
    /// Changes when this encoder's arithmetic or tokenizer changes vectors.
    static let encoderVersion = "float32-1"

    /// SHA-256 over all that changes the vectors, with the weights sampled.
    ///
    /// Hashing 90 MB would cost each start some 60 ms, so of the weights the whole header (names,
    /// shapes, types, places), the length, and 64 blocks of 4 KiB spread over the data count.
    /// Training moves all weights, so two models of one shape differ in every block. This tells
    /// models apart; damage is found by the full SHA-256 that is compared when a model is fetched.
    static func digest(
        of file: SafetensorsFile,
        vocabulary: [UInt8],
        configuration: BERTConfiguration,
        options: WordPieceTokenizer.Options
    ) -> String {
        var hash = SHA256()
        let facts =
            facts(configuration, options)
            + [vocabulary.count, file.file.byteCount].map(String.init)
        hash.update(data: Array(facts.joined(separator: "\n").utf8))
        hash.update(data: vocabulary)
        update(&hash, file, 0..<file.dataOffset)
        let last = max(file.dataOffset, file.file.byteCount - sampleByteCount)
        for index in 0..<sampleCount {
            let start = file.dataOffset + (last - file.dataOffset) / (sampleCount - 1) * index
            update(&hash, file, start..<min(file.file.byteCount, start + sampleByteCount))
        }
        return hexadecimal(hash.finalize())
    }

    /// All settings that change vectors and do not show in the weights' shapes, spelled out so that
    /// renaming a property changes no digest.
    private static func facts(
        _ configuration: BERTConfiguration,
        _ options: WordPieceTokenizer.Options
    ) -> [String] {
        let activation =
            switch configuration.activation {
            case .gelu: "gelu"
            case .geluTanh: "gelu_new"
            case .relu: "relu"
            }
        return [
            encoderVersion, activation, "heads \(configuration.headCount)",
            "epsilon \(configuration.normalizationEpsilon)",
            "pooling \(configuration.pooling.rawValue)",
            "window \(configuration.maximumTokens)", "lower \(options.lowercases)",
            "accents \(options.stripsAccents)", "ideographs \(options.splitsIdeographs)",
            options.unknownToken, options.firstToken, options.lastToken,
        ]
    }

    private static func update(_ hash: inout SHA256, _ file: SafetensorsFile, _ range: Range<Int>) {
        file.file.withBytes(in: range) { bytes in
            unsafe bytes.withUnsafeBytes { unsafe hash.update(bufferPointer: $0) }
        }
    }
}
