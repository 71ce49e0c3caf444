import Domain
import Foundation
import TestSupport
import Testing

/// The examples of the README and of docs/server.md, run as they are printed, against each service.
@Suite(
    .enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"),
    .serialized
)
struct DocumentedExampleTests {
    /// The indented blocks of a page behind some words: for the shell, and for Python.
    static func examples(
        _ file: String = "docs/server.md",
        behind words: String = "## From programs"
    ) throws -> (shell: String, python: String) {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appendingPathComponent(file),
            encoding: .utf8
        )
        let start = try #require(page.range(of: words))
        let section = page[start.upperBound...].components(separatedBy: "\n## ")[0]
        let parts = section.components(separatedBy: "The same from Python")
        try #require(parts.count == 2)
        return (code(parts[0]), code(parts[1]))
    }

    private static func code(_ text: String) -> String {
        text.components(separatedBy: "\n")
            .compactMap { line in
                line.isEmpty ? "" : line.hasPrefix("    ") ? String(line.dropFirst(4)) : nil
            }
            .joined(separator: "\n")
    }

    private static let items: [JSONValue] = {
        var issue = JSONObject()
        issue["number"] = 42
        issue["title"] = "Login fails"
        issue["body"] = "what happened"
        issue["state"] = "open"
        issue["labels"] = []
        issue["author"] = "ann"
        issue["created_at"] = "2025-01-02T03:04:05Z"
        issue["updated_at"] = "2025-01-03T03:04:05Z"
        issue["comments"] = []
        return ["github", "gitlab", "jira"].flatMap { tracker -> [JSONValue] in
            var item = issue
            item["tracker"] = .string(tracker)
            item["project"] = tracker == "jira" ? "WEB" : "acme/web"
            var pull = item
            pull["number"] = 7
            pull["title"] = "Mend it"
            pull["is_pull_request"] = true
            pull["pr"] = ["head": ["ref": "mend"], "base": ["ref": "main"]]
            return tracker == "jira" ? [.object(item)] : [.object(item), .object(pull)]
        }
    }()

    private struct World {
        let fake: FakeTrackers
        let indexed: IndexedSandbox
        let server: ServeProcess

        func run(_ words: [String]) throws -> String {
            let result = try server.run(words)
            #expect(result.status == 0, "\(result.errors) \(result.output)")
            return result.output
        }

        func end() throws {
            _ = try server.stop()
            fake.stop()
            indexed.remove()
        }
    }

    private func world(_ service: String) async throws -> World {
        let fake = try await FakeTrackers.start(corpora: [.items(Self.items)])
        let indexed = try IndexedSandbox()
        let sandbox = indexed.sandbox
        #expect(try sandbox.preloop("init").status == 0)
        let kind = service.split(separator: "-")[0]
        var words = ["trackers", "add", String(kind), "--name", "t", "--url", fake.url(service)]
        words += ["--token-env", "TOKEN"]
        if service == "jira-cloud" { words += ["--user", "someone@example.com"] }
        if service == "jira-server" { words += ["--deployment", "server"] }
        let added = try sandbox.start("preloop", words, environment: ["TOKEN": "test-token"])
            .wait()
        #expect(added.status == 0, "\(added.errors)")
        let scanned = try sandbox.run("preloop-sync", "scan", "all", "--quiet")
        #expect(scanned.status == 0, "\(scanned.errors)")
        return World(fake: fake, indexed: indexed, server: try ServeProcess(sandbox))
    }

    /// The example with the names that things have at a service.
    private func adapted(
        _ printed: String,
        _ service: String,
        _ world: World
    ) throws -> String {
        // The README has a project of the demo's.
        let text = printed.replacingOccurrences(of: "lantern/photos", with: "acme/web")
        guard !service.hasPrefix("jira") else {
            // There are no pull requests.
            return text.components(separatedBy: "\n# A remark")[0]
                .replacingOccurrences(of: "acme/web#42", with: "WEB-42")
                .replacingOccurrences(of: "\"acme/web\"", with: "\"WEB\"")
        }
        guard service == "github" else {
            // The reference service answers what starts a thread, and what adds to one, with the
            // list of threads: the outcome is then not known. Reviews need none.
            let parts = text.components(separatedBy: "\n# A remark")
            let reviews = parts.dropFirst().joined().components(separatedBy: "\n")
                .filter { $0.contains("\"review_action\"") }
                .joined(separator: "\n")
            return parts[0] + "\n"
                + reviews.replacingOccurrences(of: "acme/web#7", with: "acme/web!7")
        }
        let pull = "acme/web#7"
        let call = ["tools", "call", "get_pull_request", #"{"pull_request": "\#(pull)"}"#]
        let read = try world.indexed.sandbox.start("preloop", call + ["--json"]).wait()
        let path = try #require(try read.json["result"]?["files"]?[0]?["path"]?.string)
        return text.replacingOccurrences(of: "src/login.py", with: path)
    }

    @Test(arguments: ["github", "gitlab", "jira-cloud", "jira-server"])
    func `curl does what the page says`(_ service: String) async throws {
        let world = try await world(service)
        let script = try adapted(try Self.examples().shell, service, world)
        let output = try world.run(["bash", "-euo", "pipefail", "-c", script])
        #expect(output.contains(#""created":true"#))
        let kind = service.hasPrefix("jira") ? "jira" : service
        let project = kind == "jira" ? "WEB" : "acme/web"
        let truth = try await world.fake.truth(tracker: kind, project: project)
        #expect(truth.items.values.contains { $0.title == "Sign-in is slow" })
        let issue = try #require(truth.items[42])
        #expect(issue.title == "Login fails since the upgrade" && issue.labels == ["bug"])
        #expect(!issue.isOpen && issue.comments.count == 1)
        if kind != "jira" { #expect(output.contains("approved")) }
        if kind == "gitlab" { #expect(output.contains("the review is a comment")) }
        if kind == "github" { #expect(output.contains("Once is enough.")) }
        try world.end()
    }

    @Test(arguments: ["github", "gitlab", "jira-cloud", "jira-server"])
    func `curl and requests do what the README says`(_ service: String) async throws {
        let world = try await world(service)
        let printed = try Self.examples("README.md", behind: "a key in `KEY`:")
        let shell = try adapted(printed.shell, service, world)
        let answers = try world.run(["bash", "-euo", "pipefail", "-c", shell])
        #expect(answers.contains("Login fails") && answers.contains(#""created":true"#))
        let found = try world.run(["python3", "-c", try adapted(printed.python, service, world)])
        #expect(found.contains("Login fails"))
        let kind = service.hasPrefix("jira") ? "jira" : service
        let project = kind == "jira" ? "WEB" : "acme/web"
        let truth = try await world.fake.truth(tracker: kind, project: project)
        #expect(truth.items.values.contains { $0.title == "Sign-in is slow" })
        try world.end()
    }

    @Test(arguments: ["github", "gitlab", "jira-cloud", "jira-server"])
    func `requests does what the page says`(_ service: String) async throws {
        let world = try await world(service)
        let script = try adapted(try Self.examples().python, service, world)
        let output = try world.run(["python3", "-c", script])
        #expect(output.contains("filed:") || output.contains("likely reported:"))
        let kind = service.hasPrefix("jira") ? "jira" : service
        let project = kind == "jira" ? "WEB" : "acme/web"
        let truth = try await world.fake.truth(tracker: kind, project: project)
        #expect(truth.items.values.contains { $0.labels == ["login"] && $0.comments.count == 1 })
        try world.end()
    }
}
