/// Says which names of values promise a secret.
enum SensitiveName {
    /// How sure the name is.
    enum Strength {
        /// Whatever stands there is a secret, be it a number or a plain word.
        case strict
        /// A text is one; a number is something else, such as `max_tokens`.
        case text
    }

    /// Longer names are sentences.
    static let maximumBytes = 128

    private static let strictWords: Set<String> = [
        "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "cvv", "cvc", "cvv2",
        "ssn", "otp", "pin", "totp", "mfacode",
    ]
    private static let strictEnds = [
        "password", "passwd", "passphrase", "passcode", "securitycode", "passwordhash", "pincode",
    ]
    private static let textWords: Set<String> = [
        "auth", "cookie", "cookies", "jwt", "bearer", "pat", "sid", "creds", "dsn",
    ]
    private static let textEnds = [
        "secret", "secrets", "token", "tokens", "credential", "credentials", "authorization",
        "apikey", "apikeys", "accesskey", "accesskeyid", "secretkey", "secretaccesskey",
        "privatekey", "signingkey", "encryptionkey", "masterkey", "sharedkey", "accountkey",
        "authkey", "sessionkey", "sessionid", "setcookie", "connectionstring", "cardnumber",
        "creditcard",
    ]
    /// Names that end like a secret's and are not.
    private static let harmless: Set<String> = [
        "pagetoken", "nextpagetoken", "previouspagetoken", "prevpagetoken", "nexttoken",
        "continuationtoken", "synctoken", "progresstoken", "maxtokens", "stoptoken", "stoptokens",
    ]
    /// What follows a strict word when the value is about the password, not the password.
    private static let about: Set<String> = [
        "at", "url", "uri", "link", "policy", "length", "required", "enabled", "expires", "expiry",
        "days", "count", "min", "max", "type", "id", "field", "strength", "reset", "changed",
        "file", "path", "hint", "env",
    ]

    /// How sure a name is to promise a secret; nil when it does not.
    static func strength(of name: some Sequence<UInt8>) -> Strength? {
        guard let words = Words(of: name), let last = words.last else { return nil }
        let joined = words.letters
        guard !harmless.contains(String(decoding: joined, as: UTF8.self)) else { return nil }
        if strictEnds.contains(where: joined.hasSuffix) || strictWords.contains(last) {
            return .strict
        }
        if words.contains(where: { strictWords.contains($0) && $0 != "pin" }) {
            return about.contains(last) ? nil : .strict
        }
        if textEnds.contains(where: joined.hasSuffix) || textWords.contains(last) {
            return .text
        }
        return nil
    }

    /// The words of `apiKey`, `API_KEY` and `x-api-key2` in small letters and without numbers.
    ///
    /// Every name of every document is taken apart: the letters are in one array.
    private struct Words {
        /// Of all words, one after the other.
        private(set) var letters: [UInt8] = []
        /// Where each begins.
        private var starts: [Int] = []

        /// Nil for a name that is too long.
        init?(of name: some Sequence<UInt8>) {
            letters.reserveCapacity(name.underestimatedCount)
            var (isInside, wasSmall, count) = (false, false, 0)
            for byte in name {
                count += 1
                guard count <= maximumBytes else { return nil }
                let isCapital = (65...90).contains(byte)
                let isSmall = (97...122).contains(byte)
                if isCapital || isSmall {
                    if !isInside || isCapital && wasSmall { starts.append(letters.count) }
                    isInside = true
                    letters.append(isCapital ? byte + 32 : byte)
                } else if !(48...57).contains(byte) {
                    isInside = false
                }
                wasSmall = isSmall
            }
        }

        /// Nil when there is none.
        var last: String? { starts.isEmpty ? nil : word(starts.count - 1) }

        func contains(where isWanted: (String) -> Bool) -> Bool {
            starts.indices.contains { isWanted(word($0)) }
        }

        private func word(_ index: Int) -> String {
            let end = index + 1 < starts.count ? starts[index + 1] : letters.count
            return String(decoding: letters[starts[index]..<end], as: UTF8.self)
        }
    }
}

extension [UInt8] {
    /// Whether they end with the bytes of a text.
    fileprivate func hasSuffix(_ end: String) -> Bool {
        count >= end.utf8.count && suffix(end.utf8.count).elementsEqual(end.utf8)
    }
}
