import Domain
import Testing

@testable import Gateway

/// Which server a request for a resource, template or prompt is handed to, and which none.
@Suite struct UpstreamDirectoryTests {
    private func server(_ name: String, _ id: Int64) -> UpstreamServer {
        UpstreamServer(
            id: UpstreamServerID(id),
            name: name,
            transport: .streamableHTTP,
            url: "https://\(name).example/mcp",
            createdAt: Timestamp(milliseconds: 0)
        )
    }

    private var one: UpstreamServer { server("aaa", 1) }
    private var two: UpstreamServer { server("zzz", 2) }

    private func items(_ key: String, _ texts: [String]) -> [JSONObject] {
        texts.map { JSONObject([(key, .string($0))]) }
    }

    /// A directory of two servers with these resources and templates.
    private func directory(
        _ first: [String],
        _ second: [String],
        _ firstTemplates: [String] = [],
        _ secondTemplates: [String] = []
    ) -> UpstreamDirectory {
        var directory = UpstreamDirectory()
        _ = directory.setResources([(one, items("uri", first)), (two, items("uri", second))])
        _ = directory.setTemplates([
            (one, items("uriTemplate", firstTemplates)),
            (two, items("uriTemplate", secondTemplates)),
        ])
        return directory
    }

    /// The first by name had it, with whatever the caller asked for.
    @Test func `what two servers have nobody is asked for`() {
        let directory = directory(["memo://x", "memo://own"], ["memo://x", "memo://other"])
        #expect(directory.server(ofResource: "memo://x") == nil)
        #expect(directory.owners(ofResource: "memo://x").map(\.name) == ["aaa", "zzz"])
        #expect(directory.server(ofResource: "memo://own")?.name == "aaa")
        #expect(directory.server(ofResource: "memo://other")?.name == "zzz")
        #expect(directory.server(ofResource: "memo://nobody's") == nil)
        #expect(directory.shared(of: one.id) == ["memo://x"])
        #expect(directory.shared(of: two.id) == ["memo://x"])
    }

    @Test func `what is shared is not shown, and what is listed twice is shown once`() {
        var directory = UpstreamDirectory()
        let shown = directory.setResources([
            (one, items("uri", ["memo://x", "memo://a", "memo://a"])),
            (two, items("uri", ["memo://x", "memo://b"])),
        ])
        #expect(shown.compactMap { $0["uri"]?.string } == ["memo://a", "memo://b"])
    }

    @Test(arguments: ["{+x}", "{scheme}://x", "memo{x}", "https://{host}/x", "https://a{x}/"])
    func `a template that is of everything is of nothing`(_ template: String) {
        let directory = directory([], ["memo://1"], [template])
        #expect(directory.server(ofResource: "memo://1")?.name == "zzz")
        #expect(directory.server(ofResource: "memo://2") == nil)
        #expect(directory.server(ofResource: "https://a.example/x") == nil)
        // Where there is only one server, everything is its own matter.
        var alone = UpstreamDirectory()
        _ = alone.setResources([(one, [])])
        #expect(alone.setTemplates([(one, items("uriTemplate", [template]))]).count == 1)
        #expect(alone.server(ofResource: "memo://2")?.name == "aaa")
    }

    @Test(arguments: ["memo://{id}", "memo:{id}", "https://a.example/{x}", "file:///{+path}"])
    func `a template that names what it is of is used`(_ template: String) {
        #expect(UpstreamDirectory.isDistinct(template))
    }

    @Test func `templates of two servers that match are a resource of two`() {
        let directory = directory(
            [],
            ["note://7"],
            ["memo://{a}/x", "note://{id}"],
            ["memo://b/{c}"]
        )
        #expect(directory.server(ofResource: "memo://a/x")?.name == "aaa")
        #expect(directory.server(ofResource: "memo://b/x") == nil)
        #expect(directory.server(ofResource: "memo://b/y")?.name == "zzz")
        // Nor does who lists it have what another has a template of.
        #expect(directory.server(ofResource: "note://7") == nil)
        #expect(directory.server(ofTemplate: "memo://b/{c}")?.name == "zzz")
    }

    @Test func `a template of two servers is nobody's`() {
        let directory = directory([], [], ["memo://{id}"], ["memo://{id}"])
        #expect(directory.server(ofTemplate: "memo://{id}") == nil)
        #expect(directory.server(ofResource: "memo://1") == nil)
        #expect(directory.shared(of: one.id) == ["memo://{id}"])
    }

    /// The only one that had answered got what was another's.
    @Test func `a server that gives no answer keeps what it had`() {
        var directory = directory(["memo://x"], ["memo://y"])
        let shown = directory.setResources(
            [(two, items("uri", ["memo://x", "memo://y"]))],
            silent: [one.id]
        )
        #expect(shown.compactMap { $0["uri"]?.string } == ["memo://y"])
        #expect(directory.server(ofResource: "memo://x") == nil)
        #expect(directory.server(ofResource: "memo://z") == nil)
        // One that was removed has nothing any more.
        _ = directory.setResources([(two, items("uri", ["memo://x"]))])
        _ = directory.setTemplates([(two, [])])
        #expect(directory.server(ofResource: "memo://x")?.name == "zzz")
        #expect(directory.server(ofResource: "memo://z")?.name == "zzz")
    }

    /// Texts of Swift are equal when they look the same; names are bytes.
    @Test func `two spellings of one letter are two names`() {
        let (composed, decomposed) = ("memo://\u{E9}", "memo://e\u{301}")
        let resources = directory([composed], [decomposed])
        #expect(resources.server(ofResource: composed)?.name == "aaa")
        #expect(resources.server(ofResource: decomposed)?.name == "zzz")
        var prompts = UpstreamDirectory()
        let shown = prompts.setPrompts([
            (one, items("name", ["\u{E9}"])), (two, items("name", ["e\u{301}"])),
        ])
        #expect(shown.count == 2)
        #expect(prompts.prompt(named: "\u{E9}")?.server.name == "aaa")
        #expect(prompts.prompt(named: "e\u{301}")?.server.name == "zzz")
    }

    @Test func `prompts of servers that were not asked keep their names`() {
        var directory = UpstreamDirectory()
        _ = directory.setPrompts([(one, items("name", ["p"])), (two, items("name", ["p"]))])
        let shown = directory.setPrompts([(two, items("name", ["p"]))], silent: [one.id])
        #expect(shown.compactMap { $0["name"]?.string } == ["zzz__p"])
        #expect(directory.prompt(named: "aaa__p")?.server.name == "aaa")
        #expect(directory.prompt(named: "p") == nil)
    }
}
