import Domain
import HTTPTypes

/// A request as handlers see it: whole, within its limits, of a known route.
struct APIRequest: Sendable {
    /// On every line of the log that concerns it, and in its answer.
    var id: String
    var method: HTTPRequest.Method
    /// Without the query, as it was sent.
    var path: String
    var query: QueryItems
    var headers: HTTPFields
    var body: [UInt8] = []
    /// The values of the route's parameters, checked.
    var arguments = JSONObject()
    /// The body as the route's schema has it, checked.
    var content = JSONObject()
    /// The address it comes from: of the connection, or what a trusted proxy says.
    var peer: String
    /// Where it stands in a trace; nil outside of any.
    var trace: Trace?
    /// Parts of the path that the route names, decoded.
    var parameters: [String: String] = [:]
    /// Who asks; nil on open routes alone.
    var principal: Principal?

    /// Who asks, on a route that only users reach.
    func user() throws(Problem) -> Principal {
        guard let principal else { throw .unauthenticated() }
        return principal
    }

    /// The body as a JSON object; an empty body counts as one without members.
    func object() throws(Problem) -> JSONObject {
        guard !body.isEmpty else { return JSONObject() }
        let type = mediaType
        guard type == nil || type == "application/json" else {
            throw Problem(.unsupportedMediaType, "the body must be application/json")
        }
        do {
            guard case .object(let object) = try JSONParser.parse(body) else {
                throw Problem(.badRequest, "the body must be a JSON object")
            }
            return object
        } catch let problem as Problem {
            throw problem
        } catch {
            throw Problem(.badRequest, "the body is not JSON: \(error)")
        }
    }

    /// `Content-Type` without its parameters; nil when there is none.
    var mediaType: String? {
        headers[.contentType]?.split(separator: ";").first
            .map { $0.lowercased().filter { $0 != " " } }
    }

    /// A part of the path that is a number; anything else names nothing that there is.
    func identifier<Entity>(_ name: String) throws(Problem) -> Identifier<Entity> {
        guard let text = parameters[name], let number = Int64(text), number > 0,
            String(number) == text
        else { throw .notFound() }
        return Identifier(number)
    }
}

/// The query of an address, decoded, in order.
struct QueryItems: Sendable, Equatable {
    /// More than that are not looked at: the longest lists of a route, of a hundred and of twenty,
    /// with all that it takes besides.
    static let maximumCount = 200

    private(set) var items: [(name: String, value: String)] = []
    /// Whether all that was sent is in ``items``.
    private(set) var isComplete = true

    static func == (left: Self, right: Self) -> Bool {
        left.isComplete == right.isComplete && left.items.elementsEqual(right.items) { $0 == $1 }
    }

    /// Reads a query; what is not UTF-8 when decoded is left out.
    init(_ text: some StringProtocol) {
        let pairs = text.utf8.split(separator: UInt8(ascii: "&"))
        isComplete = pairs.count <= Self.maximumCount
        for pair in pairs.prefix(Self.maximumCount) {
            let parts = pair.split(
                separator: UInt8(ascii: "="),
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            let name = percentDecoded(parts[0], plusIsSpace: true)
            let value = parts.count > 1 ? percentDecoded(parts[1], plusIsSpace: true) : ""
            guard let name, let value else {
                isComplete = false
                continue
            }
            items.append((name, value))
        }
    }

    /// The last value of a name; an empty one counts as missing.
    subscript(name: String) -> String? {
        items.last { $0.name == name }.flatMap { $0.value.isEmpty ? nil : $0.value }
    }

    /// Every value of a name, where it is repeated or separated by commas.
    func values(_ name: String) -> [String] {
        items.filter { $0.name == name || $0.name == "\(name)[]" }
            .flatMap { $0.value.split(separator: ",").map(String.init) }
    }
}

/// Undoes percent-encoding; nil for what is none, or no UTF-8.
func percentDecoded(
    _ text: some Sequence<UInt8>,
    plusIsSpace: Bool = false
) -> String? {
    var bytes: [UInt8] = []
    var iterator = text.makeIterator()
    while let byte = iterator.next() {
        switch byte {
        case UInt8(ascii: "%"):
            guard let high = iterator.next().flatMap(hexadecimalDigit),
                let low = iterator.next().flatMap(hexadecimalDigit)
            else { return nil }
            bytes.append(high << 4 | low)
        case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
        default: bytes.append(byte)
        }
    }
    return String(validating: bytes, as: UTF8.self)
}

private func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 87
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 55
    default: nil
    }
}
