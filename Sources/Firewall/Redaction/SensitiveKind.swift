/// What makes a value one that nobody should read in a record.
package enum SensitiveKind: String, Sendable, CaseIterable, Hashable {
    /// It stands under a name such as `password`, or behind one in a text.
    case named
    case githubToken = "github_token"
    case gitlabToken = "gitlab_token"
    case awsKey = "aws_key"
    case slackToken = "slack_token"
    /// A token of another service that is known by its beginning.
    case apiToken = "api_token"
    case jwt
    case privateKey = "private_key"
    case bearer
    /// A password, or a token, in an address.
    case urlPassword = "url_password"
    case email
    /// The number of a payment card.
    case card
    /// A telephone number.
    case phone
    /// The number of a bank account (ISO 13616).
    case iban
    /// A value that lies too deep or is one too many to be looked at.
    case unread

    /// Everything that opens something.
    package static let secrets: Set<SensitiveKind> =
        Set(allCases).subtracting([.email, .card, .phone, .iban])
    /// What belongs to a person.
    package static let personal: Set<SensitiveKind> = [.email, .card, .phone, .iban, .unread]

    /// What a word in a policy means: a kind, `secret` or `secrets`, `pii` or `personal`, `any`.
    ///
    /// Kinds that are asked for by name come with ``unread``, for what was not looked at may be of
    /// any kind.
    package static func kinds(named word: String) -> Set<SensitiveKind>? {
        switch word {
        case "secret", "secrets": secrets
        case "pii", "personal": personal
        case "any", "all": Set(allCases)
        default: SensitiveKind(rawValue: word).map { [$0, .unread] }
        }
    }

    /// The words that ``kinds(named:)`` knows.
    package static let words =
        ["secret", "secrets", "pii", "personal", "any", "all"] + allCases.map(\.rawValue)
}

/// A set of kinds that is asked at every byte of a text: a `Set` of cases with raw values hashes a
/// text each time, which would be most of what looking through it costs.
struct SensitiveKinds: Sendable {
    private let bits: UInt32

    init(_ kinds: Set<SensitiveKind>) {
        bits = kinds.reduce(0) { $0 | $1.bit }
    }

    func contains(_ kind: SensitiveKind) -> Bool { bits & kind.bit != 0 }
}

extension SensitiveKind {
    fileprivate var bit: UInt32 {
        let place =
            switch self {
            case .named: 0
            case .githubToken: 1
            case .gitlabToken: 2
            case .awsKey: 3
            case .slackToken: 4
            case .apiToken: 5
            case .jwt: 6
            case .privateKey: 7
            case .bearer: 8
            case .urlPassword: 9
            case .email: 10
            case .card: 11
            case .phone: 12
            case .iban: 13
            case .unread: 14
            }
        return 1 << place
    }
}

/// Where something sensitive was found.
package struct SensitiveFinding: Sendable, Hashable {
    /// A JSON pointer (RFC 6901) whose names are redacted like everything else.
    package var path: String
    package var kind: SensitiveKind
}
