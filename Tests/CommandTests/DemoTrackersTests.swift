import Domain
import Foundation
import Testing

/// The trackers of scripts/demo: the built programs write to them, and read what was written.
@Suite(.serialized)
struct DemoTrackersTests {
    /// The services, with a project that each has.
    enum Service: String, CaseIterable, Sendable {
        case github, gitlab, jira

        var project: String {
            switch self {
            case .github: "lantern/photos"
            case .gitlab: "tidepool/tools/lint"
            case .jira: "SHOP"
            }
        }

        func key(_ number: Int) -> String { "\(project)\(self == .jira ? "-" : "#")\(number)" }
    }

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// The simulated trackers, which live as long as this does; a file keeps what is written.
    private final class Simulator {
        let running: RunningProgram
        let origin: String

        init(_ writes: URL? = nil) throws {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Sandbox.program("tracker-simulator"))
            let samples = "Tests/Support/TrackerSimulator/SampleIssues.jsonl"
            process.arguments =
                [root.appendingPathComponent(samples).path, "0"]
                + [writes?.path].compactMap { $0 }
            running = try RunningProgram(process)
            let line = try running.answer(to: "")
            let port = try #require(line.firstMatch(of: /listening on (\d+)/)?.output.1)
            origin = "http://127.0.0.1:\(port)"
        }

        deinit { end() }

        /// Ends it; it does not hear SIGTERM, which the thread that started it had blocked.
        func end() {
            if running.isRunning { running.signal(SIGKILL) }
        }

        /// The status of a request by curl.
        func status(_ method: String, _ path: String, _ more: [String]) throws -> Int? {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments =
                [
                    "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", method,
                    "-H", "Authorization: Bearer sample", "\(origin)/\(path)",
                ] + more
            return Int(try RunningProgram(process).wait().output)
        }
    }

    /// An installation that has read one of the trackers.
    private static func reading(
        _ service: Service,
        of simulator: Simulator
    ) throws -> IndexedSandbox {
        let indexed = try IndexedSandbox()
        let sandbox = indexed.sandbox
        #expect(try sandbox.preloop("init").status == 0)
        let words = [
            "trackers", "add", service.rawValue, "--name", "sample", "--token-env", "TOKEN",
            "--url", "\(simulator.origin)/\(service.rawValue)",
        ]
        let user = service == .jira ? ["--user", "sample@example.com"] : []
        let added = try sandbox.start("preloop", words + user, environment: ["TOKEN": "sample"])
            .wait()
        #expect(added.status == 0, "\(added.errors)")
        let scanned = try sandbox.run("preloop-sync", "scan", "all", "--quiet")
        #expect(scanned.status == 0, "\(scanned.errors)")
        return indexed
    }

    private static func call(
        _ tool: String,
        _ arguments: JSONValue,
        in indexed: IndexedSandbox
    ) throws -> JSONValue {
        let result = try indexed.sandbox.preloop(
            "tools",
            "call",
            tool,
            arguments.serializedText(),
            "--json"
        )
        #expect(result.status == 0, "\(tool): \(result.errors)")
        return try result.json["result"] ?? .null
    }

    @Test(arguments: Service.allCases)
    func `what tools write to the demo's trackers is there for whoever reads them`(
        service: Service
    ) throws {
        let writes = FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-writes-\(UUID().uuidString)")
        // Left behind in the temporary directory it harms nobody.
        defer { try? FileManager.default.removeItem(at: writes) }
        let simulator = try Simulator(writes)
        let indexed = try Self.reading(service, of: simulator)
        defer { indexed.remove() }
        let filed = try Self.call(
            "create_issue",
            [
                "project": .string(service.project), "title": "A zebra in the printer",
                "description": "It has **stripes**.\n\n- black\n- white", "labels": ["zoo"],
                "assignee": "sam", "allow_duplicates": true,
            ],
            in: indexed
        )
        #expect(filed["created"] == true && filed["warnings"] == [])
        let key = try #require(filed["issue"]?["key"]?.string)
        let changed = try Self.call(
            "update_issue",
            [
                "issue": .string(key), "title": "A quagga in the printer", "priority": "high",
                "assignee": "", "status": "closed",
            ],
            in: indexed
        )
        #expect(changed["warnings"] == [] && changed["issue"]?["state"] == "closed")
        let target = JSONValue.string(service.key(1))
        let comment = try Self.call(
            "add_comment",
            ["target": target, "comment": "Seen, too"],
            in: indexed
        )
        let id = try #require(comment["comment"]?["id"])
        _ = try Self.call(
            "add_comment",
            ["target": target, "comment": "By whom?", "in_reply_to": id],
            in: indexed
        )
        _ = try Self.call(
            "update_comment",
            ["target": target, "comment_id": id, "body": "Seen by me"],
            in: indexed
        )
        _ = try Self.call(
            "update_issue",
            ["issue": .string(service.key(2)), "duplicate_of": target],
            in: indexed
        )
        // Another installation knows only what the tracker tells, also when it was started anew.
        simulator.end()
        _ = try simulator.running.waitForExit()
        let second = try Simulator(writes)
        let later = try Self.reading(service, of: second)
        defer { later.remove() }
        let read = try Self.call("get_issue", ["issue": .string(key)], in: later)
        #expect(read["title"] == "A quagga in the printer" && read["state"] == "closed")
        #expect(read["description"] == "It has **stripes**.\n\n- black\n- white")
        #expect(read["priority"]?.string?.lowercased() == "high" && read["assignees"] == [])
        #expect(read["labels"]?.array?.contains("zoo") == true)
        let duplicate = try Self.call("get_issue", ["issue": .string(service.key(2))], in: later)
        #expect(duplicate["state"] == "closed")
        let talk = try Self.call("get_issue", ["issue": target], in: later)["comments"]?.array
        let bodies = (talk ?? []).compactMap { $0["body"]?.string }.suffix(2)
        #expect(bodies.first == "Seen by me" && bodies.last?.hasSuffix("By whom?") == true)
    }

    @Test func `the demo's trackers refuse what they do not know, as their services do`() throws {
        let simulator = try Simulator()
        let (gitHub, gitLab, jira) = (
            "github/repos/lantern/photos", "gitlab/api/v4/projects/tidepool%2Fharbor",
            "jira/rest/api/3"
        )
        let document = #"{"type":"doc","version":1,"content":[]}"#
        for (method, path, body, status) in [
            ("POST", "\(gitHub)/issues", "no JSON", 400),
            ("POST", "\(gitHub)/issues", #"{"title":" "}"#, 422),
            ("POST", "\(gitHub)/issues", #"{"title":"x","milestone":1}"#, 422),
            ("PATCH", "\(gitHub)/issues/1", #"{"assignees":["nobody"]}"#, 422),
            ("PATCH", "\(gitHub)/issues/1", #"{"state":"frozen"}"#, 422),
            ("PATCH", "\(gitHub)/issues/999", #"{"title":"x"}"#, 404),
            ("POST", "\(gitHub)/pulls", #"{"title":"x"}"#, 404),
            ("DELETE", "\(gitHub)/issues/1", "", 404),
            ("POST", "\(gitLab)/issues", "{}", 400),
            ("PUT", "\(gitLab)/issues/1", #"{"assignee_ids":[999]}"#, 400),
            ("PUT", "\(gitLab)/issues/999", #"{"title":"x"}"#, 404),
            ("DELETE", "\(gitLab)/issues/1", "", 405),
            ("POST", "gitlab/api/v4/user", "{}", 405),
            ("PUT", "\(jira)/issue/SHOP-1", #"{"fields":{"description":"x"}}"#, 400),
            ("PUT", "\(jira)/issue/SHOP-1", #"{"fields":{"customfield_1":1}}"#, 400),
            ("PUT", "\(jira)/issue/SHOP-999", "{}", 404),
            ("POST", "\(jira)/issue/SHOP-1/comment", #"{"body":\#(document)}"#, 400),
            ("POST", "\(jira)/issue/SHOP-1/transitions", #"{"transition":{"id":"9"}}"#, 400),
            ("DELETE", "\(jira)/issue/SHOP-1", "", 405),
        ] {
            let answer = try simulator.status(method, path, ["-d", body])
            #expect(answer == status, "\(method) \(path) \(body)")
        }
        for (header, status) in [
            ("Content-Length: 99999999", 413), ("Content-Length: -1", 400),
            ("Transfer-Encoding: chunked", 411),
        ] {
            let more = ["-H", header, "-d", "{}"]
            #expect(try simulator.status("POST", "\(gitHub)/issues", more) == status, "\(header)")
        }
    }

    /// As printed: `KEY` and `URL` are those of the demo's server, the project is one of its.
    @Test func `what the README says of REST works on the demo's server`() throws {
        let simulator = try Simulator()
        let indexed = try Self.reading(.github, of: simulator)
        defer { indexed.remove() }
        let server = try ServeProcess(indexed.sandbox)
        let printed = try DocumentedExampleTests.examples("README.md", behind: "a key in `KEY`:")
        for words in [
            ["bash", "-euo", "pipefail", "-c", printed.shell], ["python3", "-c", printed.python],
        ] {
            let result = try server.run(words)
            #expect(result.status == 0, "\(result.errors) \(result.output)")
            guard words[0] == "bash" else { continue }
            #expect(result.output.contains(#""created":true"#), "\(result.output)")
        }
        _ = try server.stop()
    }
}
