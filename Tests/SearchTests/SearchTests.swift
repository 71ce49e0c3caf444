import Domain
import Foundation
import Store
import Testing

@testable import Search

@Suite struct SearchTests {
    /// 120 issues in three projects with states, labels, kinds, types and times.
    private func crowd(_ world: World) async throws {
        for number in 1...120 {
            var babble = Babble(seed: UInt64(number))
            let path = ["acme/app", "acme/lib", "other/tool"][number % 3]
            try await world.put(
                number,
                babble.text(5),
                babble.text(40),
                in: path,
                comments: [babble.text(10)]
            ) { issue in
                issue.state = number % 4 == 0 ? .closed : .open
                issue.labels = ["bug", "ui", "slow"].enumerated().filter { place, _ in
                    number % (place + 2) == 0
                }.map(\.element)
                issue.assignees = number % 5 == 0 ? ["ann", "bob"] : []
                issue.type = number % 7 == 0 ? "Task" : "Bug"
                issue.kind = number % 11 == 0 ? .pullRequest : .issue
                issue.updatedAt = Timestamp(milliseconds: 1_600_000_000_000 + Int64(number) * 1000)
            }
        }
    }

    @Test(arguments: SearchRequest.Mode.allCases)
    func `pages follow one another without gap or repeat`(mode: SearchRequest.Mode) async throws {
        let world = try await World()
        try await crowd(world)
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        var request = SearchRequest(text: "wort4x wort12x wort30x")
        request.mode = mode
        request.limit = 500
        let all = try await pipeline.search.search(request).map(\.issue.key)
        #expect(Set(all).count == all.count)
        #expect(mode == .text || all.count == 120)
        var paged: [String] = []
        request.limit = 7
        while true {
            request.offset = paged.count
            let page = try await pipeline.search.search(request)
            if page.isEmpty { break }
            paged += page.map(\.issue.key)
        }
        #expect(paged == all)
    }

    @Test(arguments: ["damaged", "removed"])
    func `a words index that cannot be used is made anew before a search answers`(
        how: String
    ) async throws {
        let world = try await World()
        try await crowd(world)
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        var request = SearchRequest(text: "wort4x wort12x wort30x")
        request.mode = .text
        let expected = try await pipeline.search.search(request).map(\.issue.key)
        #expect(!expected.isEmpty)
        try await pipeline.close()
        let path = world.indexDirectory + "/lexical.sqlite"
        if how == "removed" {
            for suffix in ["", "-wal", "-shm"] {
                try? FileManager.default.removeItem(atPath: path + suffix)
            }
        } else {
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            let end = try file.seekToEnd()
            try file.seek(toOffset: 4096)
            try file.write(contentsOf: Data(repeating: 0xA5, count: Int(end) - 4096))
            try file.close()
        }
        let reopened = try await world.pipeline(FakeEmbedder())
        #expect(try await reopened.search.search(request).map(\.issue.key) == expected)
        #expect(try await reopened.search.waitingTexts() == 0)
    }

    @Test(arguments: 0..<9)
    func `a filter gives what dropping from the unfiltered ranking gives`(
        which: Int
    ) async throws {
        let world = try await World()
        try await crowd(world)
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        var filter = IssueFilter()
        switch which {
        case 0: filter.projects = ["ACME/app"]
        case 1: filter.state = .closed
        case 2: filter.labels = ["bug", "ui"]
        case 3: filter.assignee = "bob"
        case 4: filter.kind = .pullRequest
        case 5: filter.updatedSince = Timestamp(milliseconds: 1_600_000_060_000)
        case 6: filter.organizations = ["acme"]
        case 7: filter.type = "task"
        default:
            filter.trackers = ["hub"]
            filter.state = .open
        }
        let wanted = filter
        let passing = try await world.store.read { connection, account in
            Set(try PassageTable.issues(matching: wanted, account: account, on: connection))
        }
        #expect(!passing.isEmpty && passing.count < 120)
        for mode in [SearchRequest.Mode.vector, .hybrid, .text] {
            var request = SearchRequest(text: "wort4x wort12x wort30x")
            request.mode = mode
            request.limit = 200
            let all = try await pipeline.search.search(request)
            request.filter = filter
            let filtered = try await pipeline.search.search(request)
            // In hybrid mode the best lexical match, which scales the others, may not pass.
            if mode == .hybrid {
                #expect(Set(filtered.map(\.issue.issue)) == passing)
            } else {
                #expect(
                    filtered.map(\.issue.issue)
                        == all.map(\.issue.issue).filter(passing.contains)
                )
            }
        }
    }

    @Test func `hits collapse to their issue and show the window that fits`() async throws {
        let world = try await World()
        let embedder = FakeEmbedder(wordsPerWindow: 5)
        try await world.put(
            1,
            "weather",
            "sun rain wind snow hail printer burns with black smoke again",
            comments: ["printer burns with black smoke", "nothing to see here"]
        )
        try await world.put(2, "lunch", "soup and bread")
        let pipeline = try await world.pipeline(embedder)
        _ = try await pipeline.drain()
        var request = SearchRequest(text: "printer burns with black smoke")
        let hits = try await pipeline.search.search(request)
        #expect(hits.map(\.issue.key) == ["acme/app#1", "acme/app#2"])
        #expect(hits[0].passage?.part == .comment)
        #expect(hits[0].passage?.text == "printer burns with black smoke")
        #expect(hits[0].vectorScore.map { $0 > 0.999 } == true)
        #expect(hits[0].lexicalScore == 1)
        request.mode = .text
        let words = try await pipeline.search.search(request)
        #expect(words.map(\.issue.key) == ["acme/app#1"])
        #expect(words[0].passage?.text.contains("printer") == true)
        #expect(words[0].vectorScore == nil)
    }

    @Test func `Chinese and Japanese words are found inside sentences`() async throws {
        let world = try await World()
        try await world.put(1, "登录界面存在缺陷", "点击按钮以后程序崩溃")
        try await world.put(2, "文档翻译", "更新中文文档")
        try await world.put(3, "日本語の検索", "カタカナも見つかる")
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        for (query, expected) in [
            ("缺陷", ["acme/app#1"]), ("程序崩溃", ["acme/app#1"]), ("文档", ["acme/app#2"]),
            ("検索", ["acme/app#3"]), ("カタカナ", ["acme/app#3"]), ("陷缺", []),
        ] {
            var request = SearchRequest(text: query)
            request.mode = .text
            let hits = try await pipeline.search.search(request)
            #expect(hits.map(\.issue.key) == expected, "\(query)")
        }
    }

    @Test(arguments: [
        "\"", "a\" OR \"b", "NEAR(a b, 3)", "title: x", "* ^a", "a AND NOT b", "(((", "-",
        "'; DROP",
        "\u{0}\u{1}", "😀", "e\u{301}\u{301}", String(repeating: "x", count: 100_000),
        String(repeating: "a b c ", count: 20_000), "{title body}: a", "a + b", "¼ ² Ⅷ",
    ])
    func `no query text is taken for an expression`(text: String) async throws {
        let world = try await World()
        try await world.put(1, "a b c", "some text")
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        for mode in SearchRequest.Mode.allCases {
            var request = SearchRequest(text: text)
            request.mode = mode
            do {
                _ = try await pipeline.search.search(request)
            } catch SearchError.emptyQuery {
                // Right for texts without a word.
            }
        }
    }

    @Test func `an empty query and a page too far are refused`() async throws {
        let world = try await World()
        let pipeline = try await world.pipeline(FakeEmbedder())
        for mode in SearchRequest.Mode.allCases {
            for text in ["", " \n", "\u{3000}"] {
                var request = SearchRequest(text: text)
                request.mode = mode
                await #expect(throws: SearchError.emptyQuery) {
                    try await pipeline.search.search(request)
                }
            }
        }
        var request = SearchRequest(text: "a")
        for offset in [SearchRequest.maximumReach, .max] {
            request.offset = offset
            await #expect(throws: SearchError.pageOutOfRange(maximum: SearchRequest.maximumReach)) {
                try await pipeline.search.search(request)
            }
        }
    }

    @Test func `similar issues are ranked and the issue itself is not among them`() async throws {
        let world = try await World()
        let one = try await world.put(1, "crash when saving a file", "the editor crashes on save")
        try await world.put(2, "editor crashes while saving file", "saving crashes the editor")
        try await world.put(3, "translate the manual", "german and french", in: "acme/lib")
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        let hits = try await pipeline.search.similar(to: one, limit: 10)
        #expect(hits.map(\.issue.key) == ["acme/app#2", "acme/lib#3"])
        let resolved = try await pipeline.search.resolve("ACME/app#1")
        #expect(resolved.issue == one)
        #expect(hits.allSatisfy { (0...1).contains($0.score) })
        #expect(hits[0].score > 0.5)
        for tail in ["", "/", "#issuecomment-9", "/?focused=1#note_2"] {
            let url = "https://HUB/acme/app/issues/1" + tail
            #expect(try await pipeline.search.resolve(url).issue == one)
        }
        await #expect(throws: SearchError.unknownIssue(reference: "acme/app#9")) {
            try await pipeline.search.resolve("acme/app#9")
        }
    }

    @Test func `the ranking of everything stays inside each project`() async throws {
        let world = try await World()
        try await crowd(world)
        let pipeline = try await world.pipeline(FakeEmbedder())
        _ = try await pipeline.drain()
        var queries = 0
        try await pipeline.search.similarAll(limit: 20) { query, answers in
            queries += 1
            let path = query.prefix { $0 != "#" }
            #expect(answers.count == 20)
            #expect(Set(answers).count == 20)
            #expect(answers.allSatisfy { $0.hasPrefix("\(path)#") && $0 != query })
        }
        #expect(queries == 120)
    }
}
