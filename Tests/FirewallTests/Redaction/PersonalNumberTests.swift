import Testing

@testable import Firewall

/// Telephone numbers and bank accounts, and what only looks like them.
struct PersonalNumberTests {
    private let redactor = Redactor(key: [UInt8](repeating: 7, count: 32))

    @Test(arguments: [
        "+49 30 901820", "+4930901820", "+49 (30) 901820", "+44 20 7946 0958", "+33 1 23 45 67 89",
        "+33.1.23.45.67.89", "+39 06 1234 5678", "+1-415-555-2671", "+1 (415) 555-2671",
        "+14155552671", "+7 495 123-45-67", "+353 1 234 5678", "(415) 555-2671", "(415)555-2671",
        "415-555-2671", "415.555.2671", "+86 138 0013 8000",
    ])
    func `a telephone number is found`(_ number: String) {
        for (before, after) in [("", ""), ("call ", ", please"), ("tel:", "."), ("<", ">")] {
            let (text, found) = redactor.redact(text: before + number + after)
            #expect(found == [.phone], "\(before)\(number)\(after)")
            #expect(text.hasPrefix("\(before)[redacted:phone:") && text.hasSuffix("]\(after)"))
        }
        #expect(redactor.redact(text: number, kinds: SensitiveKind.secrets).text == number)
    }

    @Test(arguments: [
        "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "GB82 WEST 1234 5698 7654 32",
        "NO93 8601 1117 947", "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "FR14 2004 1010 0505 0001 3M02 606",
    ])
    func `a bank account is found by its check digits`(_ number: String) {
        for (before, after) in [("", ""), ("to ", " at once"), ("\"", "\","), ("IBAN:", ".")] {
            let (text, found) = redactor.redact(text: before + number + after)
            #expect(found == [.iban], "\(before)\(number)\(after)")
            #expect(text.hasPrefix("\(before)[redacted:iban:") && text.hasSuffix("]\(after)"))
        }
    }

    @Test func `equal numbers have equal marks however they are grouped`() {
        for numbers in [
            ["DE89 3704 0044 0532 0130 00", "DE89370400440532013000"],
            ["+49 30 901820", "+4930901820", "+49 (30) 90-18-20"],
        ] {
            #expect(Set(numbers.map { redactor.redact(text: $0).text }).count == 1)
        }
    }

    /// Versions, dates, patches, amounts, times, identifiers, and numbers with a wrong digit.
    @Test(arguments: [
        "+10 000 000", "+1 000 000 000", "+20 000 000 000", "+2026-01-31 12:30", "+12345678",
        "+1700000000000", "2026-01-01T00:00:00+0200", "@@ -1,200 +3,400 @@", "+1.2.3.4", "+1",
        "10.415.555.2671", "v415.555.2671.1", "415-555-2671-9", "415-555-26711", "a415-555-2671",
        "115-555-2671", "415-155-2671", "555-2671", "415 555 2671", "(415)", "(415) 5",
        "1+4155552671",
        "+999 123 456 789", "+415-555-2671", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "1234567890",
        "127.0.0.1:8080", "2026-11-29 02:04:48", "0.415.555.2671", "+49", "+49 30", "C++ 20 and 23",
        "DE88 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 0", "XX89370400440532013000",
        "DE89370400440532013000X", "ADE89370400440532013000", "de89370400440532013000",
        "DE89  3704 0044 0532 0130 00", "PRE-12", "SE2026", "ISO 27001", "AB12CD34EF56",
    ])
    func `what is none stays`(_ text: String) {
        #expect(redactor.redact(text: text).text == text)
    }

    @Test func `what follows a number is no part of it`() {
        let redacted = redactor.redact(text: "call +1 415 555 2671 12 times").text
        #expect(redacted.hasPrefix("call [redacted:phone:") && redacted.hasSuffix("] 12 times"))
    }

    @Test func `a card behind a number is found whole`() {
        let (text, found) = redactor.redact(text: "+49 30 901820 4111 1111 1111 1111")
        #expect(found == [.phone, .card], "\(text)")
        #expect(!text.contains("1111"))
    }
}
