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
        guard let words = words(of: name), let last = words.last else { return nil }
        let joined = words.joined()
        guard !harmless.contains(joined) else { return nil }
        if strictEnds.contains(where: joined.hasByteSuffix) || strictWords.contains(last) {
            return .strict
        }
        if words.contains(where: { strictWords.contains($0) && $0 != "pin" }) {
            return about.contains(last) ? nil : .strict
        }
        if textEnds.contains(where: joined.hasByteSuffix) || textWords.contains(last) {
            return .text
        }
        return nil
    }

    /// The words of `apiKey`, `API_KEY` and `x-api-key2` in small letters and without numbers.
    private static func words(of name: some Sequence<UInt8>) -> [String]? {
        var words: [[UInt8]] = [[]]
        var (wasSmall, count) = (false, 0)
        for byte in name {
            count += 1
            guard count <= maximumBytes else { return nil }
            let isCapital = (65...90).contains(byte)
            let isSmall = (97...122).contains(byte)
            if isCapital || isSmall {
                if isCapital, wasSmall { words.append([]) }
                words[words.count - 1].append(isCapital ? byte + 32 : byte)
            } else if !(48...57).contains(byte) {
                words.append([])
            }
            wasSmall = isSmall
        }
        return words.compactMap { word in
            word.isEmpty ? nil : String(decoding: word, as: UTF8.self)
        }
    }
}

extension String {
    /// Whether the text ends with the bytes of another.
    fileprivate func hasByteSuffix(_ end: String) -> Bool {
        utf8.count >= end.utf8.count && utf8.suffix(end.utf8.count).elementsEqual(end.utf8)
    }
}
