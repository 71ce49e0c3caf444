import Domain
import TestSupport
import Testing

@testable import Firewall

struct RedactorTests {
    private let redactor = Redactor(key: [UInt8](repeating: 7, count: 32))

    private func text(_ text: String) -> String { redactor.redact(text: text).text }

    /// Secrets with the kind they are of; none is real.
    static let secrets: [(String, SensitiveKind)] = [
        ("ghp_" + String(repeating: "a1B2", count: 9), .githubToken),
        ("github_pat_11ABCDEFG0" + String(repeating: "x9", count: 30), .githubToken),
        ("glpat-x1y2z3" + String(repeating: "k", count: 14), .gitlabToken),
        ("AKIA" + "IOSFODNN7EXAMPLE", .awsKey),
        ("xoxb-" + "123456789012-abcdefGHIJKL", .slackToken),
        ("sk-ant-api03-" + String(repeating: "Zz9_", count: 8), .apiToken),
        ("plk_1_" + String(repeating: "Q7", count: 20), .apiToken),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXRoYXQtaXM", .jwt),
        ("ann.example+tag@mail.example.co", .email),
        ("4111 1111 1111 1111", .card),
        ("5555555555554444", .card),
        ("3782-822463-10005", .card),
        ("+49 30 901820", .phone),
        ("+1 (415) 555-2671", .phone),
        ("(415) 555-2671", .phone),
        ("DE89 3704 0044 0532 0130 00", .iban),
        ("GB82WEST12345698765432", .iban),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
            .privateKey
        ),
    ]

    @Test(arguments: secrets)
    func `a secret in a text is found, and what stands round it stays`(
        _ secret: String,
        _ kind: SensitiveKind
    ) {
        for (before, after) in [("", ""), ("see ", " there"), ("(", ")"), ("\"", "\",")] {
            let (redacted, found) = redactor.redact(text: before + secret + after)
            #expect(found == [kind], "\(before)\(secret)\(after)")
            #expect(!redacted.contains(secret))
            #expect(redacted.hasPrefix("\(before)[redacted:\(kind.rawValue):"))
            #expect(redacted.hasSuffix("]\(after)"))
        }
    }

    @Test(arguments: [
        ("password=hunter2 next", "hunter2"), ("Password: hunter2, next", "hunter2"),
        ("password: correcthorse", "correcthorse"),
        (#"{"api_key":"abc","n":1}"#, "abc"), (#"{\"password\":\"a b c\",\"n\":1}"#, "a b c"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("authorization: bearer abcdefgh", "abcdefgh"),
        ("curl -H 'X-Api-Key: k1-22-333'", "k1-22-333"), ("tool --token abc123 --x", "abc123"),
        ("https://h/p?access_token=qwertz&x=1", "qwertz"), ("DB_PASSWORD=a;b", "=a;"),
        ("postgres://ann:s3cret@host:5432/db", "s3cret"),
        ("https://0123456789abcdef0123@github.com/a", "0123456789abcdef0123"),
        ("Bearer abcdefgh12345678", "abcdefgh12345678"), ("secret => 'x y'", "x y"),
    ])
    func `a value behind a name is found`(_ given: String, _ secret: String) {
        let redacted = text(given)
        #expect(!redacted.contains(secret))
        #expect(redacted.contains("[redacted:"))
        #expect(text(redacted) == redacted)
    }

    @Test(arguments: [
        "The token is needed.", "token: required", "Bearer authentication", "a = b", "x@y",
        "npm i left-pad@1.2.3", "at 12:30:45 on 2026-01-31", "order 1234567890123456",
        "1700000000000", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "0.4111111111111111",
        "https://git@github.com/a/b.git", "http://host:8080/path", "sk-short", "ghp_tiny",
        "max_tokens=null", "issue PRE-123: the secret lies in the sauce", "eyJ", "-- --",
        "4111111111111112", "[redacted]", "key: value", "ключ: пароль",
    ])
    func `what is no secret stays`(_ given: String) {
        #expect(text(given) == given)
    }

    @Test func `names promise secrets, and some only of texts`() {
        let value: JSONValue = [
            "password": "a", "userPassword": 12, "API_KEY": "k", "x-api-key": "k",
            "max_tokens": 500, "token": "t", "nextPageToken": "n", "passwordPolicy": "long",
            "credentials": ["user": "u", "list": ["p", 1, nil, true]], "author": "ann",
            "title": "a token", "issue_key": "A-1", "empty": "", "pin": 1234,
            "headers": [["name": "Authorization", "value": "Bearer abc"]],
        ]
        let redaction = redactor.redact(value)
        let text = redaction.value
        for name in ["password", "userPassword", "API_KEY", "x-api-key", "token", "pin"] {
            #expect(text[name]?.string?.hasPrefix("[redacted:named:") == true, "\(name)")
        }
        for name in [
            "max_tokens", "nextPageToken", "passwordPolicy", "author", "title", "issue_key",
        ] {
            #expect(text[name] == value[name], "\(name)")
        }
        #expect(text["userPassword"]?.string?.hasPrefix("[redacted:named:integer:") == true)
        #expect(text["credentials"]?["user"]?.string?.hasPrefix("[redacted:") == true)
        #expect(text["credentials"]?["list"]?[0]?.string?.hasPrefix("[redacted:") == true)
        #expect(text["credentials"]?["list"]?[3] == true)
        let header = text["headers"]?[0]?["value"]?.string
        #expect(header?.hasPrefix("Bearer [redacted:named:") == true)
        #expect(redaction.findings.contains { $0.path == "/credentials/list/0" })
        #expect(redactor.redact(text).value == text)
    }

    @Test func `equal secrets have equal marks under one key alone`() {
        let other = Redactor(key: [UInt8](repeating: 8, count: 32))
        let marks = ["4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111"].map(text)
        #expect(Set(marks).count == 1)
        let number = redactor.redact(4_111_111_111_111_111).value.string
        #expect(number?.suffix(18) == marks[0].suffix(18))
        #expect(other.redact(text: "4111111111111111").text != marks[0])
        #expect(text("password=a1") != text("password=a2"))
    }

    @Test func `only what is asked for is redacted`() {
        let given = "password=ann@example.org 4111111111111111"
        let email = redactor.redact(text: given, kinds: [.email])
        #expect(email.text.hasPrefix("password=[redacted:email:"))
        #expect(email.text.hasSuffix(" 4111111111111111"))
        #expect(SensitiveKind.kinds(named: "pii") == [.email, .card, .phone, .iban, .unread])
        #expect(SensitiveKind.kinds(named: "jwt") == [.jwt, .unread])
        #expect(SensitiveKind.kinds(named: "nothing") == nil)
    }

    @Test func `a mark does not shield what follows it`() {
        let mark = text("password=abc").dropFirst("password=".count)
        let redacted = text("password=\(mark)hunter2")
        #expect(!redacted.contains("hunter2"))
        #expect(text("password=[redacted:named:abc]") != "password=[redacted:named:abc]")
    }

    @Test func `what is too deep or too much is replaced`() {
        var deep: JSONValue = ["password": "hunter2"]
        for _ in 0..<200 { deep = ["a": deep] }
        let redaction = redactor.redact(deep)
        #expect(!redaction.value.serializedText().contains("hunter2"))
        #expect(redaction.kinds == [.unread])
        #expect(redactor.redact(redaction.value).value == redaction.value)
        var limits = Redactor.Limits()
        limits.values = 10
        limits.findings = 2
        let small = Redactor(key: [1], limits: limits)
        let many = JSONValue.array((0..<50).map { .string("item \($0)") })
        #expect(small.redact(many).findings.count == 2)
        #expect(!small.redact(many).value.serializedText().contains("item 40"))
    }

    /// The scanner of texts sees `"name": "value"` and no list or object behind a name.
    @Test(arguments: [
        #"{"passwords": ["hunter2"]}"#, #"{"password":{"value":"hunter2"}}"#,
        #" {"tokens":["hunter2", "x"], "n": 1}\#n"#, #"[{"apiKeys":[["hunter2"]]}]"#,
        #"{"a":"{\"secrets\":[\"hunter2\"]}"}"#, #"{"args":["--password","hunter2"]}"#,
        // Before the key is out, its line ends make the text no document.
        "{\"passwords\":{\"k\":\"-----BEGIN PRIVATE KEY-----\nMI\n-----END PRIVATE KEY-----\"}}",
    ])
    func `a text that is a document is looked through as one`(_ document: String) throws {
        let redaction = redactor.redact(["text": .string(document)])
        let redacted = redaction.value.serializedText()
        for leak in ["hunter2", "-----BEGIN"] { #expect(!redacted.contains(leak), "\(redacted)") }
        #expect(redacted.contains("[redacted:"))
        #expect(redaction.findings.allSatisfy { $0.path.hasPrefix("/text") })
        #expect(redactor.redact(redaction.value).value == redaction.value)
        #expect(text(document) == redaction.value["text"]?.string)
    }

    @Test func `a document without secrets stays as it is written`() {
        for document in ["{ \"a\" : [1.50, \"b\"] }\n", "[1e3]", "[ ]", "{\"title\":\"a token\"}"] {
            #expect(text(document) == document)
        }
    }

    @Test func `what lies in documents of documents is looked through, or not kept`() {
        for depth in 1...8 {
            var document = #"{"passwords":["hunter2"]}"#
            for _ in 0..<depth {
                document = (["a": .string(document)] as JSONValue).serializedText()
            }
            let once = text(document)
            #expect(!once.contains("hunter2"), "\(depth)")
            #expect(once.contains("[redacted:unread:") == (depth > 3), "\(depth)")
            #expect(text(once) == once)
        }
        // Deeper than the parser goes.
        let deep =
            String(repeating: "[", count: 300) + #"{"passwords":["hunter2"]}"#
            + String(repeating: "]", count: 300)
        #expect(text(deep).hasPrefix("[redacted:unread:"))
    }

    @Test func `what follows an option is its value`() {
        let value: JSONValue = [
            "args": [
                "--password", "hunter2", "-token", "hunter3", "--verbose", "yes", "--max-tokens", 5,
                "--pin", 1234, "--api-key", ["hunter4"], "--", "token", "-p", "x", "-",
            ]
        ]
        let redacted = redactor.redact(value).value
        let arguments = redacted["args"]?.array ?? []
        for place in [1, 3, 9] {
            #expect(arguments[place].string?.hasPrefix("[redacted:named:") == true, "\(place)")
        }
        #expect(arguments[11][0]?.string?.hasPrefix("[redacted:named:") == true)
        for place in [0, 2, 4, 5, 6, 7, 8, 10, 12, 13, 14, 15, 16] {
            #expect(arguments[place] == value["args"]?[place], "\(place)")
        }
        #expect(redactor.redact(redacted).value == redacted)
    }

    /// Pieces of texts, secrets among them, put together at random.
    private func document(
        _ generator: inout SeededGenerator,
        planted: inout [String]
    ) -> JSONValue {
        let words = [
            "the", "issue", "PRE-12", "https://example.org/a?b=c", "token", ":", "=", "\"", "--",
            "ünï", "\n", "{", "}", "a.b@", "@c", "12", "4111", "eyJ", "ghp_", "[redacted:", "]",
        ]
        var text = ""
        for _ in 0..<Int.random(in: 0...12, using: &generator) {
            if Int.random(in: 0..<4, using: &generator) == 0 {
                let secret = Self.secrets.randomElement(using: &generator)?.0 ?? ""
                planted.append(secret)
                text += " \(secret) "
            } else {
                text += words.randomElement(using: &generator) ?? ""
                if Bool.random(using: &generator) { text += " " }
            }
        }
        return switch Int.random(in: 0..<7, using: &generator) {
        case 0: ["a": .string(text), "n": 1]
        case 1: [.string(text), ["b": .string(text)]]
        case 2: .string((["a": [.string(text)], "n": 1.5] as JSONValue).serializedText())
        case 3:
            .string((["passwords": [["v": .string(text)], 7]] as JSONValue).serializedText())
        case 4: ["--password", .string(text), .string("--token"), .string("--secret \(text)")]
        case 5:
            .object(
                {
                    var object = JSONObject()
                    object.append(key: text, value: "v")
                    return object
                }()
            )
        default: .string(text)
        }
    }

    @Test func `no planted secret survives, and redacting twice is redacting once`() {
        var generator = SeededGenerator(seed: 42)
        for round in 0..<3_000 {
            var planted: [String] = []
            let value = document(&generator, planted: &planted)
            let redacted = redactor.redact(value).value
            let text = redacted.serializedText()
            for secret in planted {
                let written = JSONValue.string(secret).serializedText().dropFirst().dropLast()
                #expect(!text.contains(written), "round \(round): \(value.serializedText())")
            }
            #expect(redactor.redact(redacted).value == redacted, "round \(round)")
        }
    }

    /// Inputs at which a scanner without limits takes the square of the time.
    ///
    /// That is many minutes for so many bytes: this ends, or the test run does not.
    @Test(arguments: [
        "-", "--a", "eyJ-", "1 ", "12-", "@", "a@", "a@b.", ":", "password:", "password=\"",
        "://", "a:b@", "-----BEGIN ", "bearer ", "[redacted:", "\\\"", "x=", "ghp_", "é@é.",
        "password: \\", "4111 ", "token: a", "eyJaaaaaaaaaa.", "+1 ", "+1", "(4", "415-", "+49 3",
        "DE89 ", "DE8",
    ])
    func `hundreds of thousands of bytes of anything are looked through`(_ piece: String) {
        let text = String(repeating: piece, count: 300_000 / piece.utf8.count)
        #expect(redactor.redact(text: text).text.utf8.count > 0)
    }

    @Test func `a million random bytes are looked through`() {
        var generator = SeededGenerator(seed: 7)
        let bytes = (0..<1_000_000).map { _ in UInt8.random(in: 32...126, using: &generator) }
        let once = text(String(decoding: bytes, as: UTF8.self))
        #expect(text(once) == once)
    }
}
