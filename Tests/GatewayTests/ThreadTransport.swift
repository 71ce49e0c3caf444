import Domain
import HTTPClient
import Synchronization

/// Adds to the reference services what they lack: GitLab's threads on lines, and GitHub's edits of
/// remarks.
///
/// Threads are made of the plain notes that the service keeps, so that it holds the texts itself.
final class ThreadTransport: HTTPTransport {
    private let network: any HTTPTransport
    /// By note: what its thread adds to it.
    private let extras = Mutex<[Int64: JSONObject]>([:])

    init(_ network: any HTTPTransport) { self.network = network }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let (url, query) = split(request.url, at: "?")
        if let range = url.firstRange(of: "/discussions") {
            let item = String(url[..<range.lowerBound])
            let rest = url[range.upperBound...].split(separator: "/").map(String.init)
            return try await discussions(request, item, rest, query)
        }
        if ["GET", "PATCH"].contains(request.method),
            let range = url.firstRange(of: "/pulls/comments/")
        {
            return try await remark(request, String(url[..<range.lowerBound]), url)
        }
        return try await network.send(request)
    }

    private func split(_ text: String, at mark: Character) -> (String, String) {
        let parts = text.split(separator: mark, maxSplits: 1)
        return (String(parts[0]), parts.count > 1 ? "?\(parts[1])" : "")
    }

    // MARK: - GitLab

    private func discussions(
        _ request: HTTPRequest,
        _ item: String,
        _ rest: [String],
        _ query: String
    ) async throws(HTTPError) -> HTTPResponse {
        var forwarded = request
        switch (request.method, rest.count) {
        case ("POST", 0):
            forwarded.url = item + "/notes"
            let answer = try await network.send(forwarded)
            let position = json(request.body)?["position"]
            guard let note = json(answer.body)?["id"]?.integer else { return answer }
            var extra = JSONObject()
            extra["position"] = position ?? .null
            extra["resolvable"] = true
            extra["resolved"] = false
            extras.withLock { $0[note] = extra }
            return try await thread(request, item, status: 201) { thread in
                thread["notes"]?.array?.contains { $0["id"]?.integer == note } == true
            }
        case ("POST", 2):
            forwarded.url = item + "/notes"
            return try await network.send(forwarded)
        case ("PUT", 3):
            forwarded.url = "\(item)/notes/\(rest[2])"
            return try await network.send(forwarded)
        case ("PUT", 1):
            let resolved = json(request.body)?["resolved"] ?? .null
            let known = try await threads(request, item)
            let notes = known.first { $0["id"]?.string == rest[0] }?["notes"]?.array ?? []
            extras.withLock { extras in
                for note in notes.compactMap({ $0["id"]?.integer }) {
                    extras[note]?["resolved"] = resolved
                }
            }
            return try await thread(request, item, status: 200) { $0["id"]?.string == rest[0] }
        case ("GET", 1):
            return try await thread(request, item, status: 200) { $0["id"]?.string == rest[0] }
        default:
            var answer = try await network.send(request)
            answer.body = JSONValue.array(patched(json(answer.body)?.array ?? [])).serialized()
            return answer
        }
    }

    private func threads(
        _ request: HTTPRequest,
        _ item: String
    ) async throws(HTTPError) -> [JSONValue] {
        var list = request
        list.method = "GET"
        list.body = nil
        list.url = item + "/discussions?per_page=100"
        return patched(json(try await network.send(list).body)?.array ?? [])
    }

    private func thread(
        _ request: HTTPRequest,
        _ item: String,
        status: Int,
        where isMeant: (JSONValue) -> Bool
    ) async throws(HTTPError) -> HTTPResponse {
        let found = try await threads(request, item).first(where: isMeant)
        return HTTPResponse(
            status: found == nil ? 404 : status,
            headers: HTTPHeaders(),
            body: (found ?? [:]).serialized(),
            effectiveURL: request.url
        )
    }

    private func patched(_ threads: [JSONValue]) -> [JSONValue] {
        let extras = extras.withLock { $0 }
        return threads.map { thread in
            guard case .object(var members) = thread else { return thread }
            let notes: [JSONValue] = (thread["notes"]?.array ?? []).map { note in
                guard case .object(var fields) = note,
                    let extra = note["id"]?.integer.flatMap({ extras[$0] })
                else { return note }
                for member in extra.members { fields[member.key] = member.value }
                return .object(fields)
            }
            members["notes"] = .array(notes)
            return .object(members)
        }
    }

    // MARK: - GitHub

    /// A remark by itself, as it is or would be changed.
    private func remark(
        _ request: HTTPRequest,
        _ repository: String,
        _ url: String
    ) async throws(HTTPError) -> HTTPResponse {
        var list = request
        list.method = "GET"
        list.body = nil
        list.url = repository + "/pulls/comments?per_page=100"
        let remarks = json(try await network.send(list).body)?.array ?? []
        let id = url.split(separator: "/").last.flatMap { Int64($0) }
        var answer: JSONValue = ["message": "Not Found"]
        var status = 404
        if case .object(var remark)? = remarks.first(where: { $0["id"]?.integer == id }) {
            if let body = json(request.body)?["body"] { remark["body"] = body }
            answer = .object(remark)
            status = 200
        }
        return HTTPResponse(
            status: status,
            headers: HTTPHeaders(),
            body: answer.serialized(),
            effectiveURL: request.url
        )
    }

    private func json(_ body: [UInt8]?) -> JSONValue? {
        body.flatMap { try? JSONParser.parse($0) }
    }
}
