import Domain

/// What is wrong with one element of a list.
struct FieldError: Error, Equatable {
    /// The path of the field.
    var field: String
    var problem: String

    /// For the quarantine's `reason`.
    var reason: String { "`\(field)` \(problem)" }
}

/// Reads the fields of one JSON object and says which is missing or of the wrong kind.
///
/// Text comes out ``sanitized(_:)``. A field that may be null in practice, whatever the service's
/// documents say, is read with the `optional…` forms.
struct FieldReader {
    let value: JSONValue

    init(_ value: JSONValue) throws(FieldError) {
        guard case .object = value else { throw FieldError(field: "item", problem: "is no object") }
        self.value = value
    }

    /// A field that must be text.
    func text(_ key: String) throws(FieldError) -> String {
        guard let field = value[key] else { throw FieldError(field: key, problem: "is missing") }
        guard let text = field.string else { throw FieldError(field: key, problem: "is no text") }
        return sanitized(text)
    }

    /// A field that may be absent or null; null in place of text is nil, another kind is an error.
    func optionalText(_ key: String) throws(FieldError) -> String? {
        guard let field = value[key], !field.isNull else { return nil }
        guard let text = field.string else { throw FieldError(field: key, problem: "is no text") }
        return sanitized(text)
    }

    /// The text member `inner` of the object `key`; nil when anything on the way is absent or null.
    func optionalText(_ key: String, _ inner: String) -> String? {
        value[key]?[inner]?.string.map(sanitized)
    }

    /// A whole number.
    func integer(_ key: String) throws(FieldError) -> Int {
        guard let field = value[key] else { throw FieldError(field: key, problem: "is missing") }
        guard let number = field.integer.flatMap({ Int(exactly: $0) }) else {
            throw FieldError(field: key, problem: "is no whole number")
        }
        return number
    }

    /// A numeric identifier as text; services that change it to text one day are understood too.
    func identifier(_ key: String) throws(FieldError) -> String {
        switch value[key] {
        case .integer(let number): return String(number)
        case .string(let text) where !text.isEmpty: return sanitized(text)
        default: throw FieldError(field: key, problem: "is no identifier")
        }
    }

    /// An instant in any form of `Timestamp(parsing:)`.
    func instant(_ key: String) throws(FieldError) -> Timestamp {
        let text = try text(key)
        guard let instant = Timestamp(parsing: text) else {
            throw FieldError(field: key, problem: "is no instant")
        }
        return instant
    }

    /// The `member` of each object in the list `key`, or the element itself where it is text.
    func texts(_ key: String, member: String) -> [String] {
        (value[key]?.array ?? []).compactMap { element in
            (element.string ?? element[member]?.string).map(sanitized)
        }
    }
}

extension TrackerList {
    /// Reads every element by itself; what cannot be read is quarantined with its bytes.
    ///
    /// The identifier of a bad element is the member `identifier` when that much can be read.
    func read<Item>(
        identifier: String = "id",
        _ read: (FieldReader) throws(FieldError) -> Item
    ) -> [Result<Item, MalformedElement>] {
        elements.map { element in
            let bytes = raw(element)
            var value = JSONValue.null
            do throws(JSONError) {
                value = try JSONParser.parse(bytes)
            } catch {
                return .failure(MalformedElement(value, identifier, bytes, "\(error)"))
            }
            do throws(FieldError) {
                return .success(try read(FieldReader(value)))
            } catch {
                return .failure(MalformedElement(value, identifier, bytes, error.reason))
            }
        }
    }
}

/// A ``MalformedItem`` as an error, so that it fits a `Result`.
struct MalformedElement: Error {
    let item: MalformedItem

    init(_ value: JSONValue, _ identifier: String, _ raw: [UInt8], _ reason: String) {
        let field = value[identifier]
        let externalID = field?.integer.map { String($0) } ?? field?.string
        item = MalformedItem(externalID: externalID, raw: raw, reason: reason)
    }
}

/// The elements without repeats by bytes, first occurrence kept: composed and decomposed spellings
/// are two labels.
func withoutRepeats(_ texts: [String]) -> [String] {
    var seen: Set<[UInt8]> = []
    return texts.filter { seen.insert(Array($0.utf8)).inserted }
}
