import Domain
import Testing

@testable import Trackers

struct TextLinksTests {
    private func scan(_ text: String, gitLab: Bool = false) -> [String] {
        TextLinks(
            projectPath: "own/repo",
            webRoot: "https://host.example",
            hasMergeRequests: gitLab
        ).links(in: text, ownKey: "own/repo#1").map { "\($0.relation) \($0.targetKey)" }
    }

    @Test(arguments: [
        ("fixes #12", ["closes own/repo#12"]),
        (
            "Closes: #12, #13 and #14.",
            ["closes own/repo#12", "closes own/repo#13", "closes own/repo#14"]
        ),
        ("Resolved other/thing.js#7", ["closes other/thing.js#7"]),
        ("this is blocked by #3", ["is blocked by own/repo#3"]),
        ("blocks #4; relates  to #5", ["blocks own/repo#4", "relates to own/repo#5"]),
        ("Duplicate of https://host.example/a/b/issues/9#comment", ["duplicates a/b#9"]),
        ("fix https://host.example/a/b/pull/8.", ["closes a/b#8"]),
        ("fixes https://elsewhere.example/a/b/issues/9", []),
        ("prefixes #12, fixesx #12, fixes # 12, fixes #12a, fixes #0", []),
        ("see #12", []),
        ("fixes #1", []),
        ("fixes #99999999999999999999", []),
        ("fixes #2 fixes #2", ["closes own/repo#2"]),
        ("fixes !5", []),
    ])
    func `references are found as the services find them`(text: String, expected: [String]) {
        #expect(scan(text) == expected)
    }

    @Test func `merge requests have their own mark and address`() {
        #expect(scan("closes !5", gitLab: true) == ["closes own/repo!5"])
        #expect(
            scan("fixes https://host.example/g/s/p/-/merge_requests/6", gitLab: true)
                == ["closes g/s/p!6"]
        )
        #expect(scan("fixes g/s/p#7", gitLab: true) == ["closes g/s/p#7"])
    }

    @Test(arguments: [
        "```\nfixes #2\n```", "~~~~\r\nfixes #2", "`fixes #2`", "<!-- fixes #2 -->",
        "``a ` fixes #2``",
    ])
    func `code and comments state nothing`(text: String) {
        #expect(scan(text) == [])
    }

    @Test(arguments: ["` fixes #2", "<!-- fixes #2", "```\nx\n```\nfixes #2", "a ``` fixes #2"])
    func `what is not closed is text`(text: String) {
        #expect(scan(text) == ["closes own/repo#2"])
    }

    @Test func `a generated list is cut`() {
        let text = (2...500).map { "fixes #\($0)" }.joined(separator: "\n")
        #expect(scan(text).count == TextLinks.maximumCount)
    }

    @Test(arguments: 0..<200)
    func `hostile text neither traps nor yields broken keys`(seed: UInt64) {
        var random = SplitMix(state: seed)
        let pieces = [
            "fixes ", "#", "12", "/", "`", "```", "\n", "<!--", "-->", "https://host.example/", "!",
            "issues", ",", "and", "\u{0}", "é", "blocked by", "~~~", " ",
        ]
        let count = Int(random.next() % 60)
        let text = (0..<count).map { _ in pieces[Int(random.next() % UInt64(pieces.count))] }
            .joined()
        for link in scan(text, gitLab: seed.isMultiple(of: 2)) {
            let hasNumber = link.split { $0 == "#" || $0 == "!" }.last.flatMap { Int($0) } != nil
            #expect(hasNumber, "seed \(seed): \(link)")
        }
    }

    private struct SplitMix {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var word = state
            word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            return word ^ (word >> 31)
        }
    }
}
