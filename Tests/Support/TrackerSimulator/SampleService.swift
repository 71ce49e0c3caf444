import Domain

/// One of the services, over the items that all of them share.
protocol SampleService {
    /// What it shows and changes.
    var world: World { get set }

    /// The answer to a request.
    ///
    /// - Parameters:
    ///   - request: Whole.
    ///   - path: Its segments below the service's API.
    /// - Returns: What the client gets.
    mutating func answer(_ request: HTTPServer.Request, _ path: [String]) -> HTTPServer.Response
}

/// A write that is not done, with the answer that says why.
struct Refusal: Error {
    var response: HTTPServer.Response

    init(_ response: HTTPServer.Response) {
        self.response = response
    }
}

/// The members of a write's body, each of which must be understood.
///
/// The services pass over members they do not know. A reader who tries them out here has to be
/// told, so the samples refuse them in the service's own form.
struct WriteFields {
    private let object: JSONObject
    /// Makes the service's refusal of a field.
    private let refuse: @Sendable (_ field: String, _ problem: String) -> Refusal

    /// Reads a JSON object.
    ///
    /// - Parameters:
    ///   - value: The body or a part of it.
    ///   - known: The members that may be there.
    ///   - refuse: Makes the service's refusal of a field.
    /// - Throws: A refusal of the first member that is not known.
    init(
        _ value: JSONValue?,
        known: Set<String>,
        refuse: @escaping @Sendable (_ field: String, _ problem: String) -> Refusal
    ) throws(Refusal) {
        object = value?.object ?? JSONObject()
        self.refuse = refuse
        if let stranger = object.members.first(where: { !known.contains($0.key) }) {
            throw refuse(stranger.key, "is not known to the samples")
        }
    }

    var isEmpty: Bool { object.members.isEmpty }

    subscript(name: String) -> JSONValue? { object[name] }

    /// A text of at most so many characters; null is an empty one, nil an absent one.
    func text(_ name: String, most: Int) throws(Refusal) -> String? {
        guard let value = object[name] else { return nil }
        guard let text = value.isNull ? "" : value.string else {
            throw refuse(name, "is not a string")
        }
        guard text.unicodeScalars.count <= most else {
            throw refuse(name, "is too long (maximum is \(most) characters)")
        }
        return text
    }

    /// The same, which may not be blank.
    func title(_ name: String, most: Int, problem: String) throws(Refusal) -> String? {
        guard let text = try text(name, most: most) else { return nil }
        guard text.contains(where: { !$0.isWhitespace }) else { throw refuse(name, problem) }
        return text
    }

    /// A list of texts that are not blank.
    func texts(_ name: String) throws(Refusal) -> [String]? {
        guard let value = object[name] else { return nil }
        let texts = value.array?.compactMap(\.string) ?? []
        guard let count = value.array?.count, texts.count == count, count <= 100,
            texts.allSatisfy({ !$0.isEmpty && $0.unicodeScalars.count <= 255 })
        else { throw refuse(name, "is not a list of names") }
        return texts.withoutRepeats
    }

    /// One of some words, in whatever case, as it stands among them; nil for an absent one.
    func word(_ name: String, of words: [String]) throws(Refusal) -> String? {
        guard let value = object[name], !value.isNull else { return nil }
        let wanted = value.string?.lowercased()
        guard let word = words.first(where: { $0.lowercased() == wanted }) else {
            throw refuse(name, "is not one of \(words.joined(separator: ", "))")
        }
        return word
    }
}

extension [String] {
    /// The first of each; label names do not tell cases apart.
    var withoutRepeats: [String] {
        var seen: Set<String> = []
        return filter { seen.insert($0.lowercased()).inserted }
    }

    /// The names without those of another list.
    func without(_ names: [String]) -> [String] {
        let gone = Set(names.map { $0.lowercased() })
        return filter { !gone.contains($0.lowercased()) }
    }
}
