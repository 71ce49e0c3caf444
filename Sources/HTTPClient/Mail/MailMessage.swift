/// A message of plain text, as it is handed to a mail server (RFC 5322).
package struct MailMessage: Sendable, Equatable {
    /// Addresses; what is no address is refused by ``MailError/invalidAddress``.
    package var to: [String]
    package var subject: String
    package var text: String

    /// Recipients of one message.
    package static let maximumRecipients = 100
    /// No mail server likes longer lines than 76 characters in base64 (RFC 2045, 6.8).
    private static let lineCharacters = 76
    /// A line with an encoded word has 76 characters at most (RFC 2047, 2): 39 bytes make 52, the
    /// word's marks 12, and `Subject: ` nine.
    private static let wordBytes = 39

    package init(to: [String], subject: String, text: String) {
        self.to = to
        self.subject = subject
        self.text = text
    }

    /// The message's bytes, lines ending in CR LF.
    ///
    /// `name` is what the sender is called, `identifier` the left part of the message's own,
    /// `instant` in milliseconds since the epoch.
    func bytes(
        from sender: String,
        name: String,
        identifier: String,
        at instant: Int64
    ) -> [UInt8] {
        let host = sender.split(separator: "@").last.map(String.init) ?? "localhost"
        let headers = [
            "From: \(Self.encoded(name)) <\(sender)>",
            "To: \(to.joined(separator: ",\r\n "))",
            "Subject: \(Self.encoded(subject))",
            "Date: \(Self.date(instant))",
            "Message-ID: <\(identifier)@\(host)>",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: base64",
        ]
        let normal = text.split(separator: "\n", omittingEmptySubsequences: false)
            .joined(separator: "\r\n")
        let content = Array(base64(Array(normal.utf8)).utf8)
        var lines: [String] = []
        for start in stride(from: 0, to: content.count, by: Self.lineCharacters) {
            let end = min(start + Self.lineCharacters, content.count)
            lines.append(String(decoding: content[start..<end], as: UTF8.self))
        }
        return Array((headers + [""] + lines + [""]).joined(separator: "\r\n").utf8)
    }

    /// Whether a text can stand for an address: no spaces, no line breaks, one `@` inside.
    static func isAddress(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count <= 254, let at = bytes.lastIndex(of: UInt8(ascii: "@")),
            at > 0, at < bytes.count - 1
        else { return false }
        let marks = Array("\"(),:;<>[\\]".utf8)
        return bytes.count { $0 == UInt8(ascii: "@") } == 1
            && bytes.allSatisfy { (0x21...0x7E).contains($0) && !marks.contains($0) }
    }

    /// A header's value: RFC 2047 words, so that nothing in it ends the header.
    private static func encoded(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                || $0 == 0x20
        }
        if isPlain, text.utf8.count <= wordBytes { return text }
        var words: [String] = []
        var part: [UInt8] = []
        // A word holds whole characters (RFC 2047, 5).
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if part.count + bytes.count > wordBytes {
                words.append("=?utf-8?B?\(base64(part))?=")
                part = []
            }
            part += bytes
        }
        words.append("=?utf-8?B?\(base64(part))?=")
        return words.joined(separator: "\r\n ")
    }

    /// `Fri, 02 Jan 1970 03:04:05 +0000`.
    static func date(_ milliseconds: Int64) -> String {
        let seconds = milliseconds / 1_000
        let (days, rest) = (seconds / 86_400, seconds % 86_400)
        // After Howard Hinnant's `civil_from_days`.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let position = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * position + 2) / 5 + 1
        let month = position < 10 ? position + 3 : position - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(names[Int(days % 7)]), \(two(day)) \(months[Int(month - 1)]) \(year) "
            + "\(two(rest / 3_600)):\(two(rest / 60 % 60)):\(two(rest % 60)) +0000"
    }
}

/// RFC 4648, section 4.
private func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var result: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        var value: UInt32 = 0
        for byte in group { value = value << 8 | UInt32(byte) }
        value <<= UInt32(8 * (3 - group.count))
        for place in 0..<4 {
            let digit = Int(value >> UInt32(18 - 6 * place) & 0x3F)
            result.append(place <= group.count ? alphabet[digit] : UInt8(ascii: "="))
        }
    }
    return String(decoding: result, as: UTF8.self)
}
