import Domain
import Foundation
import Glibc
import Store
import Testing

struct TrackersTests {
    private let token = ["TOKEN": "ghp_hunter2hunter2"]

    private func added(_ sandbox: Sandbox, _ more: String...) throws -> Sandbox.Result {
        try sandbox.start(
            "preloop",
            ["trackers", "add", "github", "--name", "gh", "--token-env", "TOKEN", "--no-test"]
                + more,
            environment: token
        ).wait()
    }

    @Test func `a tracker is listed with its scope and without its token`() throws {
        let sandbox = try Sandbox()
        #expect(try added(sandbox, "--include", "acme/*", "--exclude", "acme/old").status == 0)
        let list = try sandbox.preloop("trackers", "list", "--json")
        let tracker = try list.json["trackers"]?[0]
        #expect(tracker?["name"] == "gh")
        #expect(tracker?["deployment"] == "cloud")
        #expect(tracker?["include"] == ["acme/*"])
        #expect(tracker?["exclude"] == ["acme/old"])
        for name in ["preloop.db", "preloop.db-wal"] {
            // Whether there is a log depends on who closed the database last.
            let bytes = FileManager.default.contents(atPath: sandbox.home + "/" + name)
            #expect(bytes?.range(of: Data("hunter2".utf8)) == nil, "\(name) holds the token")
        }
    }

    @Test func `a name is taken once and may be given again after its removal`() throws {
        let sandbox = try Sandbox()
        #expect(try added(sandbox).status == 0)
        let again = try added(sandbox)
        #expect(again.status == 1)
        #expect(again.errors.contains("there is a tracker `gh` already"))
        #expect(try sandbox.preloop("trackers", "remove", "gh").status == 0)
        #expect(try sandbox.preloop("trackers", "remove", "gh").status == 5)
        #expect(try added(sandbox).status == 0)
    }

    @Test(arguments: ["", "two words", "line\nbreak", "caf\u{e9}"])
    func `what cannot be a token is refused`(text: String) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.preloop(
            "trackers",
            "add",
            "github",
            "--name",
            "gh",
            "--token-file",
            "-",
            "--no-test",
            input: text
        )
        #expect(result.status == 2)
        #expect(text.isEmpty || !result.errors.contains(text))
    }

    @Test func `a token comes from standard input without its line end`() async throws {
        let sandbox = try Sandbox(["SECRET_KEY": "a secret key of the test"])
        let result = try sandbox.preloop(
            "trackers",
            "add",
            "github",
            "--name",
            "gh",
            "--token-file",
            "-",
            "--no-test",
            input: "ghp_abc\n"
        )
        #expect(result.status == 0)
        #expect(!FileManager.default.fileExists(atPath: sandbox.home + "/secret.key"))
        let store = try await sandbox.store()
        let (id, sealed) = try await store.read { connection, account in
            let tracker = try TrackerTable.find(name: "gh", account: account, on: connection)
            let id = try #require(tracker).id
            return (
                id,
                try TrackerTable.credential(of: id, account: account, on: connection)
            )
        }
        let box = try SecretBox(keyMaterial: Secret("a secret key of the test"))
        let opened = try box.open(
            try #require(sealed),
            for: .tracker(id, account: store.account)
        )
        #expect(opened.reveal() == "ghp_abc")
    }

    @Test func `Ctrl-C at the prompt ends with 130 and leaves the terminal as it was`() throws {
        let sandbox = try Sandbox()
        let terminal = try sandbox.askForToken()
        #expect(terminal.wait(for: "token for gh: "))
        #expect(!terminal.echoes)
        terminal.type("ghp_hunter2\u{3}")
        #expect(terminal.exitStatus() == 130)
        #expect(terminal.echoes)
        #expect(!terminal.screen.contains("hunter2"))
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
    func `a signal at the prompt leaves the terminal as it was`(signal: Int32) throws {
        let sandbox = try Sandbox()
        let terminal = try sandbox.askForToken()
        #expect(terminal.wait(for: "token for gh: "))
        #expect(!terminal.echoes)
        terminal.signal(signal)
        #expect(terminal.exitStatus() == 130)
        #expect(terminal.echoes)
    }

    /// What cannot work is refused before a token is asked for or stored, tried out or not.
    @Test(arguments: [
        ["github", "--name", ""],
        ["github", "--name", " "],
        ["github", "--name", "two\nlines"],
        ["github", "--url", "ftp://ghe.example"],
        ["github", "--url", "ghe.example"],
        ["github", "--url", "https://"],
        ["github", "--url", "https://a..b"],
        ["github", "--url", "https://-a.example"],
        ["github", "--url", "https://under score.example"],
        ["github", "--url", "https://a.example:0"],
        ["github", "--url", "https://a.example:99999"],
        ["github", "--url", "https://a.example:port"],
        ["github", "--url", "https://[::1"],
        ["github", "--url", "https://[12]:80"],
        ["github", "--deployment", "server"],
        ["gitlab", "--deployment", "cloud"],
        ["github", "--user", "me@example.com"],
        ["jira"],
        ["jira", "--url", "https://acme.atlassian.net"],
        ["jira", "--url", "https://jira.acme.example", "--deployment", "cloud"],
        ["jira", "--url", "https://jira.acme.example", "--user", "a:b"],
        ["jira", "--url", "https://jira.acme.example", "--user", ""],
        ["github", "--include", ""],
        ["github", "--include", "acme//web"],
        ["github", "--include", "/acme"],
        ["github", "--exclude", "acme/"],
        ["github", "--exclude", "acme/[ab]*"],
        ["github", "--include", "acme/{web,app}"],
        ["github", "--include", "!acme/web"],
        ["github", "--include", "acme web"],
        ["github", "--include", "https://github.com/acme"],
    ])
    func `impossible values are refused with 2`(arguments: [String]) throws {
        let sandbox = try Sandbox()
        let name = arguments.contains("--name") ? [] : ["--name", "x"]
        let result = try sandbox.start(
            "preloop",
            ["trackers", "add"] + arguments + name + ["--token-env", "TOKEN", "--no-test"],
            environment: token
        ).wait()
        #expect(result.status == 2, "\(result.output)")
        #expect(!result.errors.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: sandbox.home + "/preloop.db"))
    }

    @Test(arguments: [
        ["github", "--url", "http://localhost:8080"],
        ["github", "--url", "https://ghe.acme.example/api/v3/"],
        ["gitlab", "--url", "http://[::1]:8080/gitlab"],
        ["gitlab", "--include", "**/legacy-?"],
        ["jira", "--url", "https://acme.atlassian.net", "--user", "me@acme.example"],
        ["jira", "--url", "https://api.atlassian.com/ex/jira/7"],
        ["jira", "--url", "https://jira.acme.example/jira", "--include", "KEY"],
    ])
    func `values that may work are stored`(arguments: [String]) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.start(
            "preloop",
            ["trackers", "add"] + arguments + ["--name", "x", "--token-env", "TOKEN", "--no-test"],
            environment: token
        ).wait()
        #expect(result.status == 0, "\(result.errors)")
    }

    /// The token was said not to work.
    @Test func `a service that does not answer says nothing of the token`() throws {
        let sandbox = try Sandbox(token)
        #expect(try sandbox.addTracker(url: "http://127.0.0.1:1").status == 0)
        let result = try sandbox.preloop("trackers", "test", "gh")
        #expect(result.status == 1)
        #expect(result.errors.contains("`gh` cannot be asked"), "\(result.errors)")
        #expect(!result.errors.contains("token"), "\(result.errors)")
        let list = try sandbox.preloop("trackers", "list", "--json").json["trackers"]
        #expect(list?[0]?["status"] == "new")
    }

    @Test func `an unreachable service stores nothing`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        // Port 1 on loopback: nobody listens there.
        let result = try sandbox.preloop(
            "trackers",
            "add",
            "gitlab",
            "--name",
            "gl",
            "--url",
            "http://127.0.0.1:1",
            "--token-env",
            "TOKEN",
            environment: token
        )
        #expect(result.status != 0)
        #expect(result.errors.contains("the tracker `gl` was not added"))
        #expect(try sandbox.preloop("trackers", "list", "--json").json["trackers"] == [])
    }

    @Test func `a wrong key is told apart from a wrong token`() throws {
        let sandbox = try Sandbox()
        #expect(try added(sandbox).status == 0)
        let result = try sandbox.preloop(
            "trackers",
            "test",
            "gh",
            environment: ["SECRET_KEY": "another key of the test"]
        )
        #expect(result.status == 4)
        #expect(result.errors.contains("secret.key or SECRET_KEY"))
        let doctor = try sandbox.preloop(
            "doctor",
            "--json",
            environment: ["SECRET_KEY": "another key of the test"]
        )
        #expect(doctor.status == 1)
        let checks = try doctor.json["checks"]?.array ?? []
        #expect(checks.contains { $0["check"] == "tracker gh" && $0["status"] == "broken" })
    }
}
