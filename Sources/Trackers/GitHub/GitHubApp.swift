import CryptoExtras
package import Domain

/// A GitHub App: a private key instead of a token.
///
/// The key signs statements of ten minutes (RS256, RFC 7519), for which GitHub gives tokens of an
/// hour that see what one installation of the App was given.
package struct GitHubApp: Sendable {
    /// The App's number, or its client identifier.
    package let identifier: String
    /// Whose repositories are read; nil when the App has one installation only.
    package let installation: Int64?
    private let pem: Secret
    private let key: _RSA.Signing.PrivateKey

    /// Why something is not an App's identity.
    package enum Defect: Error, Equatable, Sendable {
        /// Neither a number nor a client identifier.
        case identifier
        /// Not the number of an installation.
        case installation
        /// Not a private RSA key of 2,048 bits or more in PEM.
        case privateKey
    }

    /// Takes an App's identity; `privateKey` is the PEM file that GitHub gives for download.
    package init(
        identifier: String,
        installation: Int64?,
        privateKey: Secret
    ) throws(Defect) {
        let isWord = identifier.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard isWord, (1...100).contains(identifier.utf8.count) else { throw .identifier }
        guard (installation ?? 1) > 0 else { throw .installation }
        do {
            key = try _RSA.Signing.PrivateKey(pemRepresentation: privateKey.reveal())
        } catch {
            throw .privateKey
        }
        self.identifier = identifier
        self.installation = installation
        pem = privateKey
    }

    // MARK: - As a stored credential

    /// The App as the text that is sealed in place of a token.
    package var stored: Secret {
        let document: JSONValue = [
            "github_app": .string(identifier),
            "installation": installation.map(JSONValue.integer) ?? .null,
            "private_key": .string(pem.reveal()),
        ]
        return Secret(document.serializedText())
    }

    /// Reads a stored credential; nil when it is a token, which never begins with a brace.
    package init?(stored: Secret) throws(Defect) {
        let text = stored.reveal()
        guard text.utf8.first == UInt8(ascii: "{") else { return nil }
        // Whatever does not parse is no App that was stored by this program.
        guard let document = try? JSONParser.parse(text),
            let identifier = document["github_app"]?.string,
            let privateKey = document["private_key"]?.string
        else { throw .identifier }
        try self.init(
            identifier: identifier,
            installation: document["installation"]?.integer,
            privateKey: Secret(privateKey)
        )
    }

    // MARK: - Statements

    /// GitHub refuses statements of more than ten minutes.
    private static let validity: Duration = .seconds(540)
    /// GitHub refuses statements from the future; clocks differ.
    private static let backdating: Duration = .seconds(60)

    /// A signed statement that the bearer is the App, and when to make a new one.
    func statement(at now: Timestamp) throws(TrackerError) -> TrackerSession.Credential {
        let end = now.advanced(by: Self.validity)
        let claims: JSONValue = [
            "iat": .integer(now.advanced(by: .zero - Self.backdating).milliseconds / 1000),
            "exp": .integer(end.milliseconds / 1000),
            "iss": .string(identifier),
        ]
        let header: JSONValue = ["alg": "RS256", "typ": "JWT"]
        let signed = [header, claims].map { Base64URL.encode($0.serialized()) }
            .joined(separator: ".")
        do {
            let signature = try key.signature(
                for: Array(signed.utf8),
                padding: .insecurePKCS1v1_5
            )
            return TrackerSession.Credential(
                Secret(signed + "." + Base64URL.encode(Array(signature.rawRepresentation))),
                renewAt: end.advanced(by: .zero - Self.backdating)
            )
        } catch {
            throw .unauthenticated(detail: "the App's private key signs nothing")
        }
    }
}

extension GitHubApp: CustomStringConvertible {
    /// Without the key.
    package var description: String { "GitHub App \(identifier)" }
}

extension GitHubApp.Defect: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        switch self {
        case .identifier: "that is neither the number nor the client identifier of a GitHub App"
        case .installation: "that is not the number of an installation"
        case .privateKey: "that is not a private RSA key of 2048 bits or more in PEM"
        }
    }
}
