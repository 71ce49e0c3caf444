import Domain
import Foundation
import StoreTestSupport
import Testing

struct InitTests {
    @Test func `init makes an installation for its owner alone, once`() throws {
        let sandbox = try Sandbox()
        let first = try sandbox.preloop("init", "--json")
        #expect(first.status == 0)
        #expect(try first.json["v"] == 1)
        #expect(try first.json["created"] == true)
        #expect(try sandbox.mode("") == 0o700)
        if Engine.current == .sqlite { #expect(try sandbox.mode("/preloop.db") == 0o600) }
        #expect(try sandbox.mode("/secret.key") == 0o600)
        let key = try Data(contentsOf: URL(fileURLWithPath: sandbox.home + "/secret.key"))
        let second = try sandbox.preloop("init", "--json")
        #expect(try second.json["created"] == false)
        #expect(try Data(contentsOf: URL(fileURLWithPath: sandbox.home + "/secret.key")) == key)
    }

    @Test(arguments: [
        ["trackers", "list"], ["export", "issues", "--jsonl"], ["search", "x"],
        ["duplicates"], ["index", "verify"],
    ])
    func `a command without an installation says how to make one`(arguments: [String]) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.start("preloop", arguments).wait()
        #expect(result.status == 1)
        #expect(result.errors.contains("preloop init"))
        #expect(result.output.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: sandbox.home))
    }

    @Test(arguments: [
        ["frobnicate"], ["search"], ["search", "x", "--mode", "magic"],
        ["search", "x", "--since", "yesterday"], ["similar"], ["similar", "A-1", "--all"],
        ["duplicates", "--min-score", "2"], ["duplicates", "decide", "A-1", "A-2", "maybe"],
        ["export", "issues", "--csv"], ["models", "encode"],
        ["trackers", "add", "svn", "--name", "x"], ["trackers", "add", "jira", "--name", "x"],
        ["trackers", "add", "github", "--name", "x", "--url", "ftp://x"],
        ["trackers", "add", "github", "--name", "import"],
        ["trackers", "add", "github", "--name", "x", "--url", "https://me:pw@x"],
        ["trackers", "add", "github", "--name", "x", "--token-env", "A", "--token-file", "b"],
    ])
    func `a wrong command line ends with 2 and writes nothing out`(arguments: [String]) throws {
        let sandbox = try Sandbox()
        let result = try sandbox.start("preloop", arguments).wait()
        #expect(result.status == 2)
        #expect(result.output.isEmpty)
        #expect(!result.errors.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: sandbox.home))
    }

    @Test func `a lost key is not replaced while credentials need it`() throws {
        let sandbox = try Sandbox(["TOKEN": "t"])
        #expect(try sandbox.preloop("init").status == 0)
        let key = sandbox.home + "/secret.key"
        try FileManager.default.removeItem(atPath: key)
        // Nothing is sealed yet, so nothing is lost with the key.
        #expect(try sandbox.preloop("init").status == 0)
        let added = try sandbox.start(
            "preloop",
            ["trackers", "add", "github", "--name", "gh", "--token-env", "TOKEN", "--no-test"]
        ).wait()
        #expect(added.status == 0)
        try FileManager.default.removeItem(atPath: key)
        let refused = try sandbox.preloop("init")
        #expect(refused.status == 1)
        #expect(refused.errors.contains("put back the key or set SECRET_KEY"))
        #expect(!FileManager.default.fileExists(atPath: key))
    }

    @Test(.enabled(if: Engine.current == .sqlite, "empties the file"))
    func `an empty database is not taken for an installation`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        for suffix in ["-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: sandbox.home + "/preloop.db" + suffix)
        }
        try Data().write(to: URL(fileURLWithPath: sandbox.home + "/preloop.db"))
        for _ in 1...2 {
            let result = try sandbox.preloop("trackers", "list")
            #expect(result.status == 1)
            #expect(result.errors.contains("put back a backup"))
        }
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.preloop("trackers", "list").status == 0)
    }

    /// The options of tokens were named, which the command does not have.
    @Test func `without a terminal the first user's password is asked for by its own options`()
        throws
    {
        let sandbox = try Sandbox()
        let process = Process()
        // A session of its own has no terminal, whoever runs the tests.
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["setsid", "--wait", Sandbox.program("preloop"), "init"]
        process.arguments? += ["--admin", "ann"]
        process.environment = sandbox.environment
        let refused = try RunningProgram(process).wait()
        #expect(refused.status == 2, "\(refused.errors)")
        #expect(refused.errors.contains("no terminal to ask for the password"))
        #expect(refused.errors.contains("--password-env or --password-file"))
        let made = try sandbox.preloop(
            "init",
            "--admin",
            "ann",
            "--password-env",
            "PASSWORD",
            environment: ["PASSWORD": "correct horse battery"]
        )
        #expect(made.status == 0, "\(made.errors)")
        #expect(made.output.contains("Made user ann (owner).\n"))
        #expect(try sandbox.preloop("users", "list").output.contains("ann"))
    }

    /// Nobody sees what is typed: a slip locked the first user out.
    @Test func `the terminal asks for a new password twice`() throws {
        let sandbox = try Sandbox()
        for (second, status) in [("correct horse batery", 2), ("correct horse battery", 0)] {
            let terminal = try sandbox.startOnTerminal("preloop", "init", "--admin", "ann")
            #expect(terminal.wait(for: "password for ann: "))
            terminal.type("correct horse battery\n")
            #expect(terminal.wait(for: "the same again: "))
            #expect(!terminal.echoes)
            terminal.type(second + "\n")
            #expect(terminal.exitStatus() == Int32(status), "\(terminal.screen)")
            let sentence = status == 0 ? "Made user ann (owner)." : "the two passwords differ"
            #expect(terminal.screen.contains(sentence), "\(terminal.screen)")
            #expect(!terminal.screen.contains("horse"))
        }
    }

    @Test(arguments: ["preloop", "preloop-sync"])
    func `help and version are answers`(program: String) throws {
        let sandbox = try Sandbox()
        let help = try sandbox.run(program, "--help")
        #expect(help.status == 0)
        #expect(help.output.contains("USAGE"))
        let version = try sandbox.run(program, "--version")
        #expect(version.status == 0)
        let scan = try sandbox.run("preloop-sync", "scan", "--help").output
        let words = scan.split { $0.isWhitespace }.joined(separator: " ")
        #expect(words.contains("only by the scan that notices it"))
        let keys = try sandbox.preloop("keys", "add", "--help").output
        // Every scope there is.
        let scopes = "read, write, mcp:read, mcp:write, approvals, metrics;"
        #expect(keys.split { $0.isWhitespace }.joined(separator: " ").contains(scopes))
        #expect(version.output.utf8.first.map { (48...57).contains($0) } == true)
    }
}
