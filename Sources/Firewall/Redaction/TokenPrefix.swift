/// How the tokens of a service begin.
///
/// The beginnings are those that the services document, most of them made to be found.
struct TokenPrefix: Sendable {
    /// Which characters follow.
    enum Alphabet: Sendable {
        case capitals
        case alphanumeric
        /// With `_`.
        case word
        /// With `_`, `-`, `.`, `~`, `+`, `/`, `=` and `%`.
        case any

        func has(_ byte: UInt8) -> Bool {
            switch self {
            case .capitals: (65...90).contains(byte) || (48...57).contains(byte)
            case .alphanumeric: byte.isAlphanumeric
            case .word: byte.isAlphanumeric || byte == UInt8(ascii: "_")
            case .any: byte.isTokenByte
            }
        }
    }

    let text: [UInt8]
    let alphabet: Alphabet
    /// How many characters follow at least.
    let minimum: Int
    let kind: SensitiveKind

    /// By the first byte, longest first.
    static let byFirstByte: [[TokenPrefix]] = {
        var table = [[TokenPrefix]](repeating: [], count: 256)
        for prefix in all { table[Int(prefix.text[0])].append(prefix) }
        for place in table.indices { table[place].sort { $0.text.count > $1.text.count } }
        return table
    }()

    private static func make(
        _ kind: SensitiveKind,
        _ alphabet: Alphabet,
        _ minimum: Int,
        _ texts: String...
    ) -> [TokenPrefix] {
        texts.map { text in
            TokenPrefix(
                text: Array(text.utf8),
                alphabet: alphabet,
                minimum: minimum,
                kind: kind
            )
        }
    }

    private static let all: [TokenPrefix] =
        make(.githubToken, .word, 16, "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")
        + make(
            .gitlabToken,
            .any,
            16,
            "glpat-",
            "gldt-",
            "glrt-",
            "glcbt-",
            "glptt-",
            "glft-",
            "glimt-",
            "glagent-",
            "glsoat-",
            "gloas-",
            "glffct-",
            "GR1348941"
        )
        + make(.awsKey, .capitals, 16, "AKIA", "ASIA", "ABIA", "ACCA")
        + make(
            .slackToken,
            .any,
            8,
            "xoxa-",
            "xoxb-",
            "xoxc-",
            "xoxd-",
            "xoxe-",
            "xoxe.",
            "xoxp-",
            "xoxr-",
            "xoxs-",
            "xapp-",
            "hooks.slack.com/services/"
        )
        + make(.apiToken, .word, 16, "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_")
        + make(.apiToken, .any, 20, "sk-", "AIza", "ya29.", "ATATT", "SG.", "pypi-", "xai-")
        + make(.apiToken, .any, 20, "nvapi-", "dckr_pat_", "dop_v1_", "glsa_", "sq0atp-")
        + make(.apiToken, .word, 20, "hf_", "gsk_", "npm_", "shpat_", "shpss_", "lin_api_")
        // Preloop's own.
        + make(.apiToken, .word, 20, "plk_", "plr_", "pls_", "pla_")
}

extension UInt8 {
    /// A to Z, a to z, 0 to 9.
    var isAlphanumeric: Bool { isLetter || isDigit }
    /// A to Z, a to z.
    var isLetter: Bool { (65...90).contains(self) || (97...122).contains(self) }
    /// 0 to 9.
    var isDigit: Bool { (48...57).contains(self) }
    /// What tokens of RFC 6750 and their like are made of.
    var isTokenByte: Bool {
        switch self {
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "~"),
            UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "%"):
            true
        default: isAlphanumeric
        }
    }
    /// Blanks and line ends.
    var isSpace: Bool { self == 32 || (9...13).contains(self) }
}
