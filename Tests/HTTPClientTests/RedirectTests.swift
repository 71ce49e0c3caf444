import HTTPClient
import TestSupport
import Testing

@Suite struct RedirectTests {
    let client: CurlClient

    init() throws {
        client = try CurlClient(configuration: .init(version: "1"))
    }

    @Test(arguments: [301, 302, 303, 307, 308], ["/new?a=1", "new?a=1", "./x/../new?a=1"])
    func `a redirect within the origin is followed`(status: Int, location: String) async throws {
        let server = try ScriptedHTTPServer { request in
            request.target == "/old"
                ? [.answer(status, headers: [("Location", location)])] : [.answer(text: "there")]
        }
        let response = try await client.send(
            HTTPRequest(url: "\(server.origin)/old", headers: [HTTPField("Authorization", "t")])
        )
        #expect(response.body == Array("there".utf8))
        #expect(response.effectiveURL == "\(server.origin)/new?a=1")
        #expect(server.requests.map(\.target) == ["/old", "/new?a=1"])
        #expect(server.requests.last?.headers["authorization"] == "t")
    }

    @Test func `a redirect to another origin is the answer and shows it nothing`() async throws {
        let other = try ScriptedHTTPServer { _ in [.answer(text: "stolen")] }
        let server = try ScriptedHTTPServer { _ in
            [.answer(302, headers: [("Location", "\(other.origin)/x")])]
        }
        let response = try await client.send(
            HTTPRequest(url: server.origin, headers: [HTTPField("Authorization", "t")])
        )
        #expect(response.status == 302)
        #expect(response.headers["location"] == "\(other.origin)/x")
        #expect(other.requests.isEmpty)
    }

    @Test(arguments: ["POST", "PUT", "DELETE"])
    func `what writes is not redirected`(method: String) async throws {
        let server = try ScriptedHTTPServer { _ in [.answer(307, headers: [("Location", "/new")])] }
        let response = try await client.send(HTTPRequest(method: method, url: server.origin))
        #expect(response.status == 307)
        #expect(server.requests.count == 1)
    }

    @Test func `a circle ends at the limit`() async throws {
        let server = try ScriptedHTTPServer { _ in [.answer(302, headers: [("Location", "/")])] }
        var limits = HTTPLimits()
        limits.maximumRedirects = 3
        let response = try await client.send(HTTPRequest(url: server.origin, limits: limits))
        #expect(response.status == 302)
        #expect(server.requests.count == 4)
    }

    @Test func `with no redirects allowed the redirect is the answer`() async throws {
        let server = try ScriptedHTTPServer { _ in [.answer(301, headers: [("Location", "/new")])] }
        var limits = HTTPLimits()
        limits.maximumRedirects = 0
        let response = try await client.send(HTTPRequest(url: server.origin, limits: limits))
        #expect(response.status == 301)
    }

    @Test(arguments: [nil, "", "ftp://127.0.0.1/x", "javascript:alert(1)", "http://[", "//@h/"])
    func `a redirect to nowhere is the answer`(location: String?) async throws {
        let server = try ScriptedHTTPServer { request in
            guard request.index == 0 else { return [.answer(200)] }
            return [.answer(302, headers: location.map { [("Location", $0)] } ?? [])]
        }
        let response = try await client.send(HTTPRequest(url: "\(server.origin)/a"))
        #expect(response.status == (location == "" ? 200 : 302))
    }
}
