/// Why texts could not be embedded or a model could not be loaded.
package enum EmbeddingError: Error, Equatable, Sendable {
    /// A model file is missing.
    case missingFile(path: String)
    /// A model file is not what its format says; nothing of it was used.
    case invalidModel(path: String, reason: String)
    /// The file's SHA-256 is not the expected one.
    case checksumMismatch(path: String, expected: String, found: String)
    /// A model of another architecture than the BERT family.
    case unsupportedModel(reason: String)
    /// The remote provider refused or failed, after retries.
    case provider(status: Int?, reason: String, isRetryable: Bool)
    case cancelled
}
