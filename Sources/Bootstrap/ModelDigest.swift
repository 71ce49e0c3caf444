import Domain
package import Embeddings
import Foundation

/// The SHA-256 that the operator gave for the weights under the default model's name.
///
/// Kept beside the model, in the form of `sha256sum`; without it the weights have to be those that
/// the model's authors published.
package struct ModelDigest: Sendable {
    private let path: String

    /// Of an installation.
    package init(home: HomeDirectory) {
        path = "\(home.models)/\(Installation.defaultModelName).sha256"
    }

    /// The default model with the digest its weights have to have.
    package var model: ModelFetch.Model {
        var model = ModelFetch.Model.standard
        if let bytes = FileManager.default.contents(atPath: path),
            let digest = Self.digest(in: Array(bytes.prefix(64)))
        {
            model.digest = digest
        }
        return model
    }

    /// Whether a text is a SHA-256 in hexadecimal digits.
    package static func isDigest(_ text: String) -> Bool { digest(in: Array(text.utf8)) != nil }

    private static func digest(in bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self).lowercased()
        let isHexadecimal = text.utf8.allSatisfy {
            (48...57).contains($0) || (97...102).contains($0)
        }
        return bytes.count == 64 && isHexadecimal ? text : nil
    }

    /// Remembers the digest of the weights that were put in place; nil for the authors' own.
    package func remember(_ digest: String?) throws {
        guard let digest else {
            if FileManager.default.fileExists(atPath: path) {
                try FileManager.default.removeItem(atPath: path)
            }
            return
        }
        var file = try ReplacedFile(path: path)
        let name = "\(Installation.defaultModelName)/model.safetensors"
        try file.output.line("\(digest)  \(name)")
        try file.commit()
    }
}
