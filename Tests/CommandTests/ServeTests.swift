import Domain
import Foundation
import Glibc
import Store
import Sync
import TestSupport
import Testing

/// `preloop serve` as a process.
struct ServeTests {
    @Test func `the server answers curl, tells what it does, and ends by SIGTERM`() throws {
        let server = try ServeProcess(try Sandbox())
        let health = try server.curl("\(server.origin)/healthz")
        #expect(health.status == 200)
        let form = try server.curl(
            "-d",
            "username=ann&password=correct horse battery",
            "\(server.origin)/api/v1/auth/token"
        )
        #expect(form.status == 200)
        let token = try JSONParser.parse(form.body)["access_token"]?.string ?? ""
        for credential in [token, server.key] {
            let me = try server.curl(
                "-H",
                "Authorization: Bearer \(credential)",
                "\(server.origin)/api/v1/auth/users/me"
            )
            #expect(try JSONParser.parse(me.body)["username"] == "ann")
        }
        let refused = try server.curl("\(server.origin)/api/v1/auth/users/me?token=\(server.key)")
        #expect(refused.status == 401)
        let result = try server.stop()
        #expect(result.status == 0, "\(result.errors)")
        // The log is one object a line, and has no secret.
        let lines = result.errors.split(separator: "\n")
        for line in lines { _ = try JSONParser.parse(String(line)) }
        #expect(lines.contains { $0.contains(#""route":"/api/v1/auth/token""#) })
        #expect(!result.errors.contains(server.key) && !result.errors.contains(token))
        #expect(!result.output.contains("/setup"))
    }

    @Test(arguments: ["0.0.0.0", "127.0.0.1"])
    func `a server that listens on all addresses in clear text says so once`(
        _ host: String
    ) throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let running = try sandbox.start("preloop", ["serve", "--host", host, "--port", "0"])
        let shown = host == "0.0.0.0" ? "localhost" : host
        #expect(try running.answer(to: "").contains("Preloop serves http://\(shown):"))
        running.signal(SIGTERM)
        let result = try running.waitForExit()
        #expect(result.status == 0, "\(result.errors)")
        let lines = result.errors.split(separator: "\n")
        for line in lines {
            #expect((try? JSONParser.parse(String(line))) != nil, "\(line)")
        }
        let warnings = lines.filter { $0.contains("on all addresses in clear text") }
        #expect(warnings.count == (host == "0.0.0.0" ? 1 : 0), "\(result.errors)")
    }

    @Test func `a port that is taken is named, with what to do`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let (socket, port) = try LoopbackSocket.listen(backlog: 1)
        defer { close(socket) }
        let result = try sandbox.preloop("serve", "--port", "\(port)")
        #expect(result.status == 1)
        #expect(result.output.isEmpty)
        #expect(
            result.errors == """
                error: cannot serve on 127.0.0.1 port \(port)
                  why: another program listens on port \(port) already
                  to do: choose another port with --port, or end that program; `ss -ltnp` names it

                """
        )
    }

    @Test(arguments: [
        ["PRELOOP_TLS_CERTIFICATE": "/nowhere.pem"],
        ["PRELOOP_TLS_CERTIFICATE": "/nowhere.pem", "PRELOOP_TLS_KEY": "/nowhere.pem"],
        ["PRELOOP_TRUSTED_PROXIES": "the proxy"], ["OTEL_EXPORTER_OTLP_ENDPOINT": "collector"],
    ])
    func `settings that make no sense end it before it listens`(
        _ environment: [String: String]
    ) throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.preloop("serve", "--port", "0", environment: environment)
        #expect(result.status == 2, "\(result.errors)")
        #expect(environment.keys.contains { result.errors.contains($0) || $0.contains("TLS") })
    }

    /// Whoever registered could ask the server's network by the URL of a tracker.
    @Test(arguments: [nil, "127.0.0.0/8", "localhost, 127.0.0.1"])
    func `trackers of users are on the public Internet, and where the operator allows ours`(
        allowed: String?
    ) throws {
        let inside = try ScriptedHTTPServer { _ in [.answer(404, text: "{}")] }
        defer { inside.stop() }
        var environment = ["REGISTRATION_ENABLED": "true"]
        environment["PRELOOP_TRACKER_ALLOW"] = allowed
        let server = try ServeProcess(try Sandbox(), environment: environment)
        let api = "\(server.origin)/api/v1"
        let json = "Content-Type: application/json"
        let stranger = #"{"username": "bob", "password": "a good password"}"#
        let made = try server.curl("-H", json, "-d", stranger, "\(api)/auth/register")
        #expect(made.status == 201, "\(made.body)")
        let form = "username=bob&password=a good password"
        let signedIn = try server.curl("-d", form, "\(api)/auth/token")
        let token = try JSONParser.parse(signedIn.body)["access_token"]?.string ?? ""
        func add(
            _ credential: String,
            isTested: Bool = true
        ) throws -> (status: Int, body: String) {
            let authorization = "Authorization: Bearer \(credential)"
            let draft = """
                {"name": "lab", "tracker_type": "gitlab", "url": "\(inside.origin)",
                "api_key": "secret", "test": \(isTested)}
                """
            return try server.curl(
                "-H",
                json,
                "-H",
                authorization,
                "-d",
                draft,
                "\(api)/trackers"
            )
        }
        for isTested in [true, false] {
            let refused = try add(token, isTested: isTested)
            #expect(refused.status == 422, "\(refused.body)")
            #expect(refused.body.contains("public Internet"), "\(refused.body)")
            // The operator's networks are nothing that a stranger could ask for.
            #expect(!refused.body.contains("PRELOOP_TRACKER_ALLOW"), "\(refused.body)")
        }
        #expect(inside.requests.isEmpty)
        guard allowed == nil else {
            _ = try add(server.key)
            #expect(!inside.requests.isEmpty)
            _ = try server.stop()
            return
        }
        for isTested in [true, false] {
            let refused = try add(server.key, isTested: isTested)
            #expect(refused.status == 422, "\(refused.body)")
            #expect(refused.body.contains("PRELOOP_TRACKER_ALLOW"), "\(refused.body)")
        }
        #expect(inside.requests.isEmpty)
        _ = try server.stop()
    }

    /// What the operator allowed when a tracker was added is asked again with each request.
    @Test func `an address that came over the server stays vetted, the command line's is free`()
        throws
    {
        let inside = try ScriptedHTTPServer { _ in [.answer(404, text: "{}")] }
        defer { inside.stop() }
        let sandbox = try Sandbox(["TOKEN": "secret"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:9").status == 0)
        let allowing = try ServeProcess(
            sandbox,
            environment: ["PRELOOP_TRACKER_ALLOW": "127.0.0.1"]
        )
        func ask(_ arguments: String...) throws -> (Int, String) {
            let answer = try allowing.curl(
                ["-H", "Authorization: Bearer \(allowing.key)"] + arguments
            )
            return (answer.status, answer.body)
        }
        let change = #"{"url": "\#(inside.origin)", "api_key": "other", "test": false}"#
        let path = "api/v1/trackers/1"
        let changed = try ask(
            "-X",
            "PUT",
            "-H",
            "Content-Type: application/json",
            "-d",
            change,
            "\(allowing.origin)/\(path)"
        )
        #expect(changed.0 == 200, "\(changed.1)")
        #expect(try allowing.stop().status == 0)
        // Now nothing is allowed: neither the server nor a command asks there.
        let strict = try sandbox.start("preloop", ["serve", "--port", "0"])
        defer { strict.signal(SIGTERM) }
        let line = try strict.answer(to: "")
        let origin = try #require(line.firstMatch(of: /http:\/\/127\.0\.0\.1:\d+/)).0
        func test() throws -> (Int, String) {
            try ask("-X", "POST", "\(origin)/\(path)/test-connection")
        }
        let refused = try test()
        #expect(refused.0 == 502 && refused.1.contains("PRELOOP_TRACKER_ALLOW"), "\(refused)")
        let command = try sandbox.preloop("trackers", "test", "gh")
        #expect(command.errors.contains("PRELOOP_TRACKER_ALLOW"), "\(command)")
        #expect(inside.requests.isEmpty)
        let words = ["trackers", "update", "gh", "--url", inside.origin, "--no-test"]
        #expect(try sandbox.start("preloop", words).wait().status == 0)
        _ = try test()
        #expect(!inside.requests.isEmpty)
    }

    @Test func `a collector hears of requests, and its absence is not felt`() throws {
        let collector = try ScriptedHTTPServer { _ in [.answer(200, text: "{}")] }
        defer { collector.stop() }
        for endpoint in [collector.origin, "http://127.0.0.1:9"] {
            let server = try ServeProcess(
                try Sandbox(),
                environment: ["OTEL_EXPORTER_OTLP_ENDPOINT": endpoint]
            )
            #expect(try server.curl("\(server.origin)/healthz").status == 200)
            #expect(try server.stop().status == 0)
        }
        let text = collector.requests.map { String(decoding: $0.body, as: UTF8.self) }.joined()
        #expect(text.contains(#""name":"GET /healthz""#), "\(text)")
    }

    /// Each restart read everything again that had come since the last scan.
    @Test func `what the server took in is kept when it ends`() throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        try FileManager.default.removeItem(atPath: indexed.snapshot)
        let server = try ServeProcess(indexed.sandbox)
        let found = try server.curl(
            "-H",
            "Authorization: Bearer \(server.key)",
            "\(server.origin)/api/v1/search?query=crash"
        )
        #expect(found.status == 200, "\(found.body)")
        let result = try server.stop()
        #expect(result.status == 0, "\(result.errors)")
        #expect(FileManager.default.fileExists(atPath: indexed.snapshot), "\(result.errors)")
        #expect(try indexed.sandbox.preloop("index", "verify").status == 0)
    }

    @Test func `hits and similar issues come page by page`() throws {
        let indexed = try IndexedSandbox.withIssues()
        defer { indexed.remove() }
        let server = try ServeProcess(indexed.sandbox)
        func get(_ path: String) throws -> (answer: JSONValue, next: String?) {
            let authorization = "Authorization: Bearer \(server.key)"
            let result = try server.curl("-i", "-H", authorization, "\(server.origin)\(path)")
            let parts = result.body.split(separator: "\r\n\r\n", maxSplits: 1)
            let head = try #require(parts.first)
            let next = head.firstMatch(of: /(?i)link: <([^>]+)>/).map { String($0.1) }
            return (try JSONParser.parse(String(try #require(parts.last))), next)
        }
        func keys(_ answer: JSONValue) -> [String] {
            let hits = answer.array ?? answer["results"]?.array ?? []
            return hits.compactMap { $0["item"]?["id"]?.integer.map(String.init) }
        }
        let issues = try get("/api/v1/issues").answer
        let first = try #require(issues[0]?["id"]?.integer)
        for path in ["/api/v1/search?query=crash&", "/api/v1/issues/\(first)/similar?"] {
            let whole = try get("\(path)limit=100")
            let all = keys(whole.answer)
            try #require(all.count >= 2 && whole.next == nil, "\(path): \(whole)")
            var walked: [String] = []
            var next: String? = "\(path)limit=1"
            while let page = next, walked.count <= all.count {
                let found = try get(page)
                walked += keys(found.answer)
                next = found.next
            }
            #expect(walked == all, "\(path)")
            #expect(keys(try get("\(path)limit=1&skip=1").answer) == [all[1]], "\(path)")
        }
        #expect(try server.stop().status == 0)
    }

    /// The state was this process's memory: while cron scanned, it said `idle`.
    @Test func `a scan of another process is seen, of the tracker it is of`() async throws {
        let sandbox = try Sandbox(["TOKEN": "secret"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:9").status == 0)
        let lab = try sandbox.addTracker(
            url: "http://127.0.0.1:9",
            kind: "gitlab",
            named: "lab"
        )
        #expect(lab.status == 0, "\(lab.errors)")
        let server = try ServeProcess(sandbox)
        func get(_ path: String) throws -> JSONValue {
            let answer = try server.curl(
                "-H",
                "Authorization: Bearer \(server.key)",
                "\(server.origin)/api/v1/\(path)"
            )
            return try JSONParser.parse(answer.body)
        }
        let trackers = try get("trackers").array ?? []
        let ids = trackers.compactMap { $0["id"]?.integer }
        try #require(ids.count == 2)
        #expect(try get("sync")["state"] == "idle")
        let store = try await sandbox.store()
        let now = WallClock.system.now()
        _ = try await store.write { connection, account in
            try LeaseTable.acquire(
                ScanRunner.leaseName(of: TrackerID(ids[0])),
                holder: .current(),
                duration: .seconds(300),
                now: now,
                account: account,
                on: connection
            )
        }
        #expect(try get("sync")["state"] == "running")
        #expect(try get("trackers/\(ids[0])/sync")["state"] == "running")
        #expect(try get("trackers/\(ids[1])/sync")["state"] == "idle")
        #expect(try server.stop().status == 0)
    }

    @Test func `a stored token is not sent to another address`() throws {
        let sandbox = try Sandbox(["TOKEN": "secret", "PRELOOP_TRACKER_ALLOW": "127.0.0.1"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:9").status == 0)
        let server = try ServeProcess(sandbox)
        func change(_ body: String) throws -> Int {
            try server.curl(
                "-X",
                "PUT",
                "-H",
                "Authorization: Bearer \(server.key)",
                "-H",
                "Content-Type: application/json",
                "-d",
                body,
                "\(server.origin)/api/v1/trackers/1"
            ).status
        }
        let url = "http://127.0.0.1:10"
        #expect(try change(#"{"url": "\#(url)", "test": false}"#) == 422)
        #expect(try change(#"{"url": "\#(url)", "api_key": "other", "test": false}"#) == 200)
        #expect(try server.stop().status == 0)
    }

    @Test func `a tracker gets another name, which no other one has`() throws {
        let sandbox = try Sandbox(["TOKEN": "secret"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:9").status == 0)
        let added = try sandbox.addTracker(
            url: "http://127.0.0.1:9",
            kind: "gitlab",
            named: "lab"
        )
        #expect(added.status == 0, "\(added.errors)")
        let server = try ServeProcess(sandbox)
        let address = "\(server.origin)/api/v1/trackers"
        let key = "Authorization: Bearer \(server.key)"
        let trackers = try JSONParser.parse(try server.curl("-H", key, address).body).array ?? []
        let hub = try #require(trackers.first { $0["name"] == "gh" }?["id"]?.integer)
        func rename(_ name: String) throws -> (status: Int, json: JSONValue) {
            let answer = try server.curl(
                "-X",
                "PUT",
                "-H",
                key,
                "-H",
                "Content-Type: application/json",
                "-d",
                #"{"name": "\#(name)"}"#,
                "\(address)/\(hub)"
            )
            return (answer.status, try JSONParser.parse(answer.body))
        }
        let taken = try rename("lab")
        #expect(taken.status == 409 && taken.json["code"] == "name_taken", "\(taken)")
        for wrong in ["", " ", #"a\nb"#, "import"] {
            #expect(try rename(wrong).status == 422, "\(wrong)")
        }
        let renamed = try rename("hub")
        #expect(renamed.status == 200 && renamed.json["name"] == "hub", "\(renamed)")
        // Its own name is taken by nobody else.
        #expect(try rename("hub").status == 200)
        #expect(try rename("gh").status == 200)
        #expect(try rename("hub").status == 200)
        #expect(try server.stop().status == 0)
        let listed = try sandbox.preloop("trackers", "list", "--json").json
        let names = listed["trackers"]?.array?.compactMap { $0["name"]?.string }
        #expect(names == ["hub", "lab"], "\(listed)")
    }

    @Test func `of two changes of a tracker at once with the same tag one is refused`() throws {
        let sandbox = try Sandbox(["TOKEN": "secret"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:9").status == 0)
        let server = try ServeProcess(sandbox)
        let address = "\(server.origin)/api/v1/trackers/1"
        let key = "Authorization: Bearer \(server.key)"
        for round in 0..<10 {
            let shown = try server.curl("-i", "-H", key, address).body
            let tag = try #require(shown.firstMatch(of: /(?i)etag: ("[^"]+")/)?.1)
            func change(_ pattern: String) -> [String] {
                [
                    "-X", "PUT", "-H", key, "-H", "Content-Type: application/json", "-H",
                    "If-Match: \(tag)", "-o", "/dev/null", "-d",
                    #"{"include": ["\#(pattern)"]}"#, address,
                ]
            }
            let both = try server.curl(
                ["-Z", "--parallel-immediate"] + change("a\(round)/*")
                    + ["--next", "-w", "\n%{http_code}"] + change("b\(round)/*")
            )
            let statuses = both.body.split(separator: "\n").compactMap { Int($0) } + [both.status]
            #expect(statuses.sorted() == [200, 412], "round \(round)")
        }
        #expect(try server.stop().status == 0)
    }

    @Test func `without users a link is printed that makes the first`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let running = try sandbox.start("preloop", ["serve", "--port", "0"])
        let first = try running.answer(to: "")
        let origin = try #require(first.firstMatch(of: /http:\/\/127\.0\.0\.1:\d+/)).0
        // The link comes with the next write.
        var output = first
        while !output.contains("setup?token=") {
            output = try running.answer(to: "")
            usleep(10_000)
        }
        let link = try #require(output.firstMatch(of: /token=(pls_1_\w+)/)).1
        #expect(output.contains("\(origin)/setup?token="))
        running.signal(SIGTERM)
        let result = try running.waitForExit()
        #expect(result.status == 0 && !result.errors.contains(link))
    }

    @Test func `users and keys are managed by commands`() throws {
        let sandbox = try Sandbox()
        let password = ["PASSWORD": "correct horse battery"]
        let words = ["init", "--admin", "ann", "--password-env", "PASSWORD"]
        #expect(try sandbox.start("preloop", words, environment: password).wait().status == 0)
        #expect(try sandbox.start("preloop", words, environment: password).wait().status == 1)
        let add = ["users", "add", "bob", "--role", "editor", "--password-env", "PASSWORD"]
        #expect(try sandbox.start("preloop", add, environment: password).wait().status == 0)
        let list = try sandbox.preloop("users", "list", "--json").json["users"]
        #expect(list?.array?.compactMap { $0["role"]?.string } == ["owner", "editor"])
        let made = try sandbox.preloop(
            "keys",
            "add",
            "ci",
            "--user",
            "bob",
            "--scope",
            "mcp:read",
            "metrics",
            "--days",
            "7",
            "--json"
        )
        #expect(try made.json["key"]?.string?.hasPrefix("plk_1_") == true, "\(made.errors)")
        #expect(try made.json["details"]?["scopes"] == ["mcp:read", "metrics"])
        #expect(try sandbox.preloop("keys", "list", "--user", "bob").output.contains("mcp:read"))
        #expect(try sandbox.preloop("keys", "remove", "ci", "--user", "bob").status == 0)
        #expect(try sandbox.preloop("keys", "remove", "ci", "--user", "bob").status == 5)
        #expect(try sandbox.preloop("users", "update", "ann", "--role", "viewer").status == 1)
        #expect(try sandbox.preloop("users", "update", "bob", "--no-active").status == 0)
        #expect(try sandbox.preloop("users", "remove", "bob").status == 0)
        #expect(try sandbox.preloop("users", "remove", "bob").status == 5)
    }

    @Test(arguments: [
        ("LOG_LEVEL", "loud"), ("ALLOWED_ORIGINS", "*"), ("PRELOOP_URL", "example.com"),
        ("REGISTRATION_ENABLED", "perhaps"), ("MAX_SESSION_DAYS", "0"),
    ])
    func `a setting that is none is told`(_ name: String, _ value: String) throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.preloop("serve", "--port", "0", environment: [name: value])
        #expect(result.status == 2)
        #expect(result.errors.contains(name))
    }

    @Test func `an address that is taken is told`() throws {
        let (socket, port) = try LoopbackSocket.listen(backlog: 1)
        defer { close(socket) }
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.preloop("serve", "--port", "\(port)")
        #expect(result.status == 1)
        #expect(result.errors.contains("\(port)"))
    }
}
