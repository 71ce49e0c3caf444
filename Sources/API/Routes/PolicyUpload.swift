import Domain
import HTTPTypes

/// The text of a policy in the body of a request.
enum PolicyUpload {
    /// The text, from JSON, YAML, or a form with a file.
    static func text(of request: APIRequest) throws(Problem) -> String {
        switch request.mediaType {
        case "multipart/form-data": return try file(request)
        case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain":
            return try utf8(request.body)
        default:
            let object = try request.object()
            let (policy, text) = (object["policy"]?.string, object["text"]?.string)
            if let policy, let text, !haveEqualBytes(policy, text) {
                throw .contradiction("policy", "text")
            }
            guard let given = policy ?? text else {
                throw .invalid("policy", "must be the policy's text")
            }
            return given
        }
    }

    /// The same where a request may do without one.
    static func textIfAny(of request: APIRequest) throws(Problem) -> String? {
        let isJSON = request.mediaType == nil || request.mediaType == "application/json"
        if isJSON, try request.object().members.isEmpty { return nil }
        return try text(of: request)
    }

    private static func utf8(_ bytes: some Collection<UInt8>) throws(Problem) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Problem(.badRequest, "the policy is not UTF-8 text")
        }
        return text
    }

    /// The part called `file` of a form (RFC 7578).
    private static func file(_ request: APIRequest) throws(Problem) -> String {
        guard let boundary = boundary(request.headers[.contentType] ?? "") else {
            throw Problem(.badRequest, "the form has no boundary")
        }
        let delimiter = Array("--\(boundary)".utf8)
        var places: [Int] = []
        var start = 0
        while let place = place(of: delimiter, in: request.body, from: start) {
            places.append(place)
            start = place + delimiter.count
            // More parts than this are no upload of one file.
            guard places.count <= 64 else { break }
        }
        for (begin, end) in zip(places, places.dropFirst()) {
            let part = request.body[(begin + delimiter.count)..<end]
            guard let blank = place(of: Array("\r\n\r\n".utf8), in: request.body, from: begin),
                blank < end
            else { continue }
            let head = String(decoding: part[part.startIndex..<blank], as: UTF8.self).lowercased()
            guard head.contains("content-disposition:"), head.contains("name=\"file\"") else {
                continue
            }
            var content = request.body[(blank + 4)..<end]
            if content.suffix(2).elementsEqual("\r\n".utf8) { content = content.dropLast(2) }
            return try utf8(content)
        }
        throw .invalid("file", "is missing in the form")
    }

    private static func boundary(_ type: String) -> String? {
        for part in type.split(separator: ";").dropFirst() {
            let pair = part.trimmed
            guard pair.lowercased().hasPrefix("boundary=") else { continue }
            let value = pair.dropFirst("boundary=".count).filter { $0 != "\"" }
            // RFC 2046 allows 70 characters.
            return (1...70).contains(value.utf8.count) ? String(value) : nil
        }
        return nil
    }

    /// Where a sequence begins next; the bodies are some kilobytes.
    private static func place(of part: [UInt8], in body: [UInt8], from start: Int) -> Int? {
        guard body.count >= part.count else { return nil }
        var place = start
        while place <= body.count - part.count {
            if body[place] == part[0], body[place..<(place + part.count)].elementsEqual(part) {
                return place
            }
            place += 1
        }
        return nil
    }
}
