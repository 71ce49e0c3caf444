import Testing

@testable import HTTPClient

@Suite struct HeaderTests {
    @Test(arguments: [
        (#"<https://h/a?page=2>; rel="next""#, "https://h/a?page=2"),
        (
            #"<https://h/1>; rel="prev", <https://h/3>; rel="next", <https://h/9>; rel="last""#,
            "https://h/3"
        ),
        (#"<a,b;c>;rel=next"#, "a,b;c"),
        (#"<a>; title="x, <b>; rel=\"next\""; rel="prev next""#, "a"),
        (#"<a> ; REL = "NEXT" ;x"#, "a"),
        (#"<a>; rel="prev"; rel="next""#, nil),
        (#"junk, <a>; rel="next"#, "a"),
        (#"<a; rel="next""#, nil),
        ("", nil), ("<", nil), ("<>;;;=", nil),
    ])
    func `a link is found by its relation`(value: String, target: String?) {
        #expect(HTTPHeaders([HTTPField("link", value)]).link(relation: "next") == target)
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 29 Feb 2024 23:59:60 GMT", 1_709_251_200), ("Sun, 06 Nov 1994 08:49:37 CET", nil),
        ("Sun, 06 Nov 1994 24:49:37 GMT", nil), ("6 Nov 1994", nil), ("", nil),
        ("a b c d e f g", nil), ("Sun, 06 Nox 1994 08:49:37 GMT", nil),
    ])
    func `all three forms of a date are read`(text: String, seconds: Int64?) {
        #expect(secondsSinceEpoch(httpDate: text) == seconds)
    }

    @Test(
        arguments: [
            ("120", .seconds(120)), ("0", .zero), ("Thu, 01 Jan 1970 00:01:40 GMT", .seconds(40)),
            ("Thu, 01 Jan 1970 00:00:10 GMT", .zero), ("-1", nil), ("1e3", nil), ("", nil),
            ("99999999999999999999", nil), ("86401", nil), ("soon", nil),
        ] as [(String, Duration?)]
    )
    func `a pause is seconds or a date`(text: String, pause: Duration?) {
        #expect(HTTPHeaders([HTTPField("Retry-After", text)]).retryAfter(now: 60) == pause)
    }

    @Test func `a date counts from the answer's own clock`() {
        let headers = HTTPHeaders([
            HTTPField("Date", "Thu, 01 Jan 1970 01:00:00 GMT"),
            HTTPField("Retry-After", "Thu, 01 Jan 1970 01:00:05 GMT"),
        ])
        #expect(headers.retryAfter(now: 0) == .seconds(5))
    }

    @Test func `origins compare by scheme, host and port`() {
        let origin = HTTPOrigin(of: "https://Example.org/a")
        #expect(origin == HTTPOrigin(of: "HTTPS://example.ORG:443?x"))
        #expect(origin != HTTPOrigin(of: "http://example.org/a"))
        #expect(origin != HTTPOrigin(of: "https://example.org:444/a"))
        #expect(origin != HTTPOrigin(of: "https://example.org.evil/a"))
        #expect(HTTPOrigin(of: "https://example.org@evil/a") == nil)
        #expect(HTTPOrigin(of: #"https://evil\@example.org/a"#)?.host != "example.org")
        #expect(HTTPOrigin(of: "http://[::1]:8080/")?.port == 8080)
    }

    @Test(arguments: [
        ("http://x/y", "http://x/y"), ("//x/y", "http://x/y"), ("/y?z", "http://h:1/y?z"),
        ("y", "http://h:1/a/y"), ("../y", "http://h:1/y"), ("../../../y", "http://h:1/y"),
        ("?z=1", "http://h:1/a/b?z=1"), ("", "http://h:1/a/b"), ("y#f", "http://h:1/a/y"),
        ("./", "http://h:1/a/"), ("..", "http://h:1/"), ("y?a=../b", "http://h:1/a/y?a=../b"),
        ("/a%2Fb", "http://h:1/a%2Fb"), ("javascript:x", nil), ("http:", nil), ("a b", nil),
        ("/\r\nX: 1", nil), (#"\\evil"#, nil),
    ])
    func `references resolve against where they came from`(reference: String, url: String?) {
        #expect(resolvedURL(reference, against: "http://h:1/a/b?c=d/e") == url)
    }

    @Test func `a head is collected line by line`() throws {
        var head = ResponseHead()
        for line in [
            "HTTP/1.1 100 Continue\r\n", "A: interim\r\n", "\r\n", "HTTP/1.1 200 OK\r\n",
            "A:  b \r\n", "folded: one\r\n", "  two\r\n", "no colon\r\n", ": no name\r\n", "\r\n",
            "Trailer: x\r\n",
        ] {
            try head.receive(Array(line.utf8))
        }
        #expect(head.fields == [HTTPField("A", "b"), HTTPField("folded", "one two")])
        #expect(head.isComplete)
    }

    @Test func `a head has limits`() {
        var head = ResponseHead()
        #expect(throws: ResponseHead.Refusal.tooManyFields(limit: 512)) {
            for _ in 0...512 { try head.receive(Array("A: b\r\n".utf8)) }
        }
        var long = ResponseHead()
        #expect(throws: ResponseHead.Refusal.tooManyBytes(limit: 256 << 10)) {
            try long.receive([UInt8](repeating: 65, count: 256 << 10 + 1))
        }
    }

    @Test func `hostile bytes are survived`() throws {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array(" \t\r\n:;,=<>\"\\/?#%.HTTP1a\u{0}\u{e9}".utf8)
        for _ in 0..<20_000 {
            let count = Int.random(in: 0..<40, using: &random)
            let bytes = (0..<count).map { _ in alphabet.randomElement(using: &random) ?? 0 }
            let text = String(decoding: bytes, as: UTF8.self)
            let headers = HTTPHeaders([HTTPField("Link", text), HTTPField("Retry-After", text)])
            _ = headers.link(relation: "next")
            _ = headers.retryAfter(now: 0)
            if let url = resolvedURL(text, against: "http://h/a") {
                #expect(HTTPOrigin(of: url) != nil)
            }
            _ = HTTPOrigin(of: "http://" + text)
            var head = ResponseHead()
            try head.receive(bytes)
        }
    }
}

@Suite struct TransferQueueTests {
    private func origin(_ name: String) throws -> HTTPOrigin {
        try #require(HTTPOrigin(of: "http://\(name)/"))
    }

    @Test func `each host has its limit and keeps its order`() throws {
        var queue = TransferQueue(maximumPerHost: 2, maximumTotal: 10)
        let (a, b) = (try origin("a"), try origin("b"))
        for id in 1...4 { queue.append(UInt64(id), to: a) }
        queue.append(5, to: b)
        #expect((0..<5).map { _ in queue.next() } == [1, 5, 2, nil, nil])
        queue.finish(a)
        #expect(queue.next() == 3)
        #expect(queue.next() == nil)
    }

    @Test func `all hosts together have a limit`() throws {
        var queue = TransferQueue(maximumPerHost: 2, maximumTotal: 3)
        for id in 0..<10 { queue.append(UInt64(id), to: try origin("h\(id)")) }
        #expect((0..<4).map { _ in queue.next() } == [0, 1, 2, nil])
        queue.finish(try origin("h1"))
        #expect(queue.next() == 3)
    }

    @Test func `a random life keeps the limits, loses nothing and starts nothing twice`() throws {
        var random = SystemRandomNumberGenerator()
        var queue = TransferQueue(maximumPerHost: 3, maximumTotal: 7)
        let origins = try (0..<5).map { try origin("h\($0)") }
        var waiting: [UInt64: HTTPOrigin] = [:]
        var active: [UInt64: HTTPOrigin] = [:]
        var nextID: UInt64 = 0
        for _ in 0..<20_000 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0 where waiting.count < 50:
                nextID += 1
                let origin = origins[Int(nextID % 5)]
                waiting[nextID] = origin
                queue.append(nextID, to: origin)
            case 1:
                if let (id, origin) = waiting.randomElement(using: &random) {
                    waiting[id] = nil
                    queue.remove(id, from: origin)
                }
            case 2:
                if let (id, origin) = active.randomElement(using: &random) {
                    active[id] = nil
                    queue.finish(origin)
                }
            default:
                if let id = queue.next() {
                    let taken = waiting.removeValue(forKey: id)
                    let started: HTTPOrigin = try #require(taken)
                    active[id] = started
                }
            }
            #expect(queue.activeCount == active.count && active.count <= 7)
            for origin in origins { #expect(active.values.count { $0 == origin } <= 3) }
        }
        while !active.isEmpty || !waiting.isEmpty {
            while let id = queue.next() {
                let taken = waiting.removeValue(forKey: id)
                let started: HTTPOrigin = try #require(taken)
                active[id] = started
            }
            let (id, origin) = try #require(active.first)
            active[id] = nil
            queue.finish(origin)
        }
    }
}
