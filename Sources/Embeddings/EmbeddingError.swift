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

extension EmbeddingError {
    /// Whether the same call may succeed later without anyone doing anything.
    package var isRetryable: Bool {
        switch self {
        case .provider(_, _, let isRetryable): isRetryable
        case .missingFile, .invalidModel, .checksumMismatch, .unsupportedModel, .cancelled: false
        }
    }

    /// What an operator can do about it; nil when waiting is all.
    package var hint: String? {
        switch self {
        case .missingFile, .invalidModel, .checksumMismatch:
            "fetch the model again with `preloop models fetch`"
        case .unsupportedModel:
            "use a BERT-family sentence model, all-MiniLM-L6-v2 for example"
        case .provider(_, _, isRetryable: false): "check the provider's URL, key and model name"
        case .provider(_, _, isRetryable: true), .cancelled: nil
        }
    }
}

extension EmbeddingError: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        switch self {
        case .missingFile(let path): "the model file `\(path)` is missing"
        case .invalidModel(let path, let reason): "the model file `\(path)` is damaged: \(reason)"
        case .checksumMismatch(let path, let expected, let found):
            "`\(path)` has SHA-256 \(found) where \(expected) was expected"
        case .unsupportedModel(let reason): "the model is of an unsupported kind: \(reason)"
        case .provider(let status?, let reason, _): "the provider answers \(status): \(reason)"
        case .provider(nil, let reason, _): "the provider does not answer usefully: \(reason)"
        case .cancelled: "cancelled"
        }
    }
}
