import HTTPClient
import Testing

/// Which URLs that users set may be asked.
@Suite struct EgressGuardTests {
    /// Names of a name service of the tests' own.
    private static let names: [String: [String]] = [
        "example.com": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
        "two.example.com": ["8.8.8.8", "1.1.1.1"],
        "six.example.com": ["2606:4700:4700::1111"],
        "loop.example.com": ["127.0.0.1"],
        "mixed.example.com": ["8.8.8.8", "10.0.0.1"],
        "metadata.example.com": ["169.254.169.254"],
        "mapped.example.com": ["::ffff:127.0.0.1"],
        "nat64.example.com": ["64:ff9b::7f00:1"],
        "lan.example.com": ["192.168.1.7"],
        "server.lan": ["192.168.1.8"],
    ]

    private func guardian(_ allowed: String...) -> EgressGuard {
        EgressGuard(allowing: allowed) { name in
            (Self.names[name] ?? []).compactMap(IPAddress.init)
        }
    }

    private func isAllowed(_ url: String, by guardian: EgressGuard) async -> Bool {
        (try? await guardian.target(of: url)) != nil
    }

    /// Hosts that are not of the public Internet, or not written in the usual form.
    private static let hosts: [String] = {
        var hosts = [
            "localhost", "LOCALHOST", "localhost.", "a.localhost", "printer.local", "db.internal",
            "metadata.google.internal", "host.docker.internal", "router.lan", "x.corp", "x.home",
            "intranet", "server", "x.home.arpa", "x.onion", "x.localdomain", "x.private",
            "loop.example.com", "mixed.example.com", "metadata.example.com", "mapped.example.com",
            "nat64.example.com", "lan.example.com", "unknown.example.com", "LOOP.EXAMPLE.COM",
            "loop.example.com.", "0", "1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0x7F000001",
            "2130706433", "017700000001", "0177.0.0.1", "0177.0.0.01", "127.0.0.1.", "127.0.0.01",
            "127.000.000.001", "127.0.0.0x1", "0.0.0.0.0", "256.256.256.256", "1.2.3", "1.2.3.4.5",
            "8.8.8.8.", "08.08.08.08", "8.8.2056", "8.526344", "134744072", "0x08080808",
            "example.com.1", "example.0x1", "-", "a..b", ".example.com", "exa%6dple.com",
            "ex ample.com", "example.com%00", "exämple.com", "１２７.０.０.１", "ⓔxample.com",
            "127。0。0。1", "[::1%25lo]", "[fe80::1%25eth0]", "[::1", "[1.2.3.4]", "[]", "[::1]]",
            "[2606:4700:4700::1111", "2606:4700:4700::1111", "[g::1]", "[::ffff:127.0.0.1.]",
        ]
        // Some addresses of every range that is not public, and its ends.
        let ranges4 = [
            "0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
            "127.0.0.1", "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2",
            "172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1",
            "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255",
            "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
            "255.255.255.255", "10.63.129.16",
        ]
        hosts += ranges4
        func pair(_ text: String, _ place: Int) -> String {
            let parts = text.split(separator: ".").compactMap { Int($0) }
            return String(parts[place] << 8 | parts[place + 1], radix: 16)
        }
        // Each of them inside version 6, in all the ways there are.
        for address in ranges4 {
            let (high, low) = (pair(address, 0), pair(address, 2))
            hosts += [
                "[::ffff:\(address)]", "[::ffff:\(high):\(low)]", "[0:0:0:0:0:ffff:\(high):\(low)]",
                "[64:ff9b::\(address)]", "[64:ff9b:1::\(high):\(low)]", "[2002:\(high):\(low)::1]",
                "[::\(high):\(low)]", "[2001:0:\(high):\(low)::1]",
                "[2606:4700::5efe:\(high):\(low)]",
            ]
        }
        hosts += [
            "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::2]", "[fc00::1]", "[fd00:ec2::254]",
            "[fdff:ffff::1]", "[fe80::1]", "[febf::1]", "[fec0::1]", "[ff02::1]", "[ff05::2]",
            "[100::1]", "[2001:db8::1]", "[2001:2::1]", "[2001:10::1]", "[2001:20::1]", "[3fff::1]",
            "[3ffe::1]", "[5f00::1]", "[4000::1]", "[1000::1]", "[8000::1]",
        ]
        return hosts
    }()

    @Test func `nothing but the public Internet is asked`() async throws {
        let guardian = guardian()
        var walked = 0
        for host in Self.hosts {
            for url in ["http://\(host)/mcp", "https://\(host):8443/"] {
                walked += 1
                #expect(await !isAllowed(url, by: guardian), "\(url)")
            }
        }
        #expect(walked > 600)
    }

    @Test(arguments: [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "unix:/run/x.sock",
        "//example.com/", "example.com", "", "http:/example.com", "http:example.com", "http://",
        "https://user@example.com/", "https://user:word@example.com/", "http://@example.com/",
        "http://example.com@127.0.0.1/", "http://127.0.0.1@example.com/",
        "http://example.com\\@127.0.0.1/", "http://127.0.0.1\\.example.com/",
        "http://example.com:80@127.0.0.1/", "http://example.com:0/", "http://example.com:65536/",
        "http://example.com:/", "http://example.com:8a/", "http://example.com\t/",
        "http://example.com/\r\nHost: x", "http://exa\u{0}mple.com/", "javascript:alert(1)",
        "http://example.com:-1/", "http://example.com:99999/", "jar:http://example.com!/",
        "http:///example.com", "http://?x", "http://#x", "https://:443/", "data:text/plain,x",
        "HTTP//example.com", "http;//example.com", "dict://example.com:11211/",
        "https://example.com/" + String(repeating: "a", count: 2_048),
    ])
    func `what is no plain http URL is refused`(_ url: String) async {
        #expect(await !isAllowed(url, by: guardian()), "\(url)")
    }

    @Test(arguments: [
        "https://example.com/mcp", "HTTPS://EXAMPLE.COM/mcp", "http://example.com:8080/mcp?a=b",
        "https://two.example.com", "https://six.example.com/", "https://8.8.8.8/mcp",
        "https://[2606:4700:4700::1111]/mcp", "https://example.com./mcp", "http://11.0.0.1/",
        "http://100.63.255.255/", "http://100.128.0.1/", "http://172.15.0.1/",
        "http://172.32.0.1/", "http://192.167.1.1/", "http://169.253.1.1/", "http://223.255.255.1/",
        "https://[2001:4860:4860::8888]/", "https://[2a00:1450::1]/",
    ])
    func `the public Internet is asked at a pinned address`(_ url: String) async throws {
        let target = try await guardian().target(of: url)
        #expect(!target.addresses.isEmpty)
        #expect(target.addresses.allSatisfy(EgressGuard.isPublic))
    }

    @Test func `operators allow networks, addresses and hosts by name`() async {
        let loopback = guardian("127.0.0.0/8", "fd00::/8")
        #expect(await isAllowed("http://127.0.0.1:9/", by: loopback))
        #expect(await isAllowed("http://loop.example.com/", by: loopback))
        #expect(await isAllowed("http://[fd00::1]/", by: loopback))
        #expect(await !isAllowed("http://10.0.0.1/", by: loopback))
        #expect(await !isAllowed("http://[::ffff:127.0.0.1]/", by: loopback))
        #expect(await !isAllowed("http://0x7f.1/", by: loopback))
        #expect(await !isAllowed("http://mixed.example.com/", by: loopback))
        let named = guardian("server.lan", "192.168.1.7")
        #expect(await isAllowed("http://server.lan/", by: named))
        #expect(await isAllowed("http://SERVER.lan./", by: named))
        #expect(await isAllowed("http://192.168.1.7/", by: named))
        #expect(await isAllowed("http://lan.example.com/", by: named))
        #expect(await !isAllowed("http://192.168.1.8/", by: named))
    }

    @Test func `the system's name service answers for this machine`() async {
        let addresses = await AddressLookup.addresses(of: "localhost")
        #expect(addresses.contains { $0.description == "127.0.0.1" || $0.description == "::1" })
        #expect(await AddressLookup.addresses(of: "no-such-host.invalid").isEmpty)
    }

    @Test func `ranges end where they end`() throws {
        let range = try #require(AddressRange("172.16.0.0/12"))
        let inside = ["172.16.0.0", "172.31.255.255"].compactMap(IPAddress.init)
        let outside = ["172.15.255.255", "172.32.0.0"].compactMap(IPAddress.init)
        #expect(inside.count == 2 && inside.allSatisfy(range.contains))
        #expect(outside.count == 2 && !outside.contains(where: range.contains))
        for text in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "x/8", "10.0.0.0/8/8", "::/129"] {
            #expect(AddressRange(text) == nil, "\(text)")
        }
    }
}
