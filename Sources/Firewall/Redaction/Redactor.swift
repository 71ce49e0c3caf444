import Crypto
package import Domain

/// Takes what is sensitive out of values, and puts marks in its place.
///
/// A mark tells what it was and has a digest under the account's key: equal secrets have equal
/// marks, so that one can be followed through the records, and nobody without the key can try which
/// secret it was. What cannot be looked through – too deep, too much – is replaced as a whole.
package struct Redactor: Sendable {
    /// What one value may cost.
    package struct Limits: Sendable, Equatable {
        /// Deeper values are not read; as deep as messages may be.
        package var depth = 64
        /// Elements and members; a 4 MiB message has fewer than this as a rule.
        package var values = 500_000
        /// Findings that are told of; all are redacted.
        package var findings = 100

        package init() {}
    }

    /// A value without what was sensitive in it.
    package struct Redaction: Sendable, Equatable {
        package var value: JSONValue
        /// What was found, in the order of the document; not more than are told of.
        package var findings: [SensitiveFinding]

        /// Which kinds were found.
        package var kinds: Set<SensitiveKind> { Set(findings.map(\.kind)) }
    }

    /// One pass may leave something that only the next can see, such as an address before a token;
    /// a text that is not at rest after so many is replaced as a whole.
    private static let maximumPasses = 4
    /// Documents in texts of documents; deeper ones are not read, and replaced as a whole.
    private static let maximumDocuments = 4
    /// Bytes of names in paths.
    private static let maximumName = 64

    /// What is looked for unless somebody says what.
    package static let allKinds = Set(SensitiveKind.allCases)

    private let key: SymmetricKey
    private let limits: Limits

    /// - Parameters:
    ///   - key: The account's; 32 secret bytes.
    ///   - limits: What one value may cost.
    package init(key: [UInt8], limits: Limits = Limits()) {
        self.key = SymmetricKey(data: key)
        self.limits = limits
    }

    /// A digest that only who has the key can compute.
    package func digest(of bytes: some Sequence<UInt8>) -> [UInt8] {
        var code = HMAC<SHA256>(key: key)
        code.update(data: Array("preloop digest 1\n".utf8))
        code.update(data: Array(bytes))
        return Array(code.finalize())
    }

    /// The value without anything sensitive of these kinds.
    ///
    /// Linear in the size of the value.
    package func redact(
        _ value: JSONValue,
        kinds: Set<SensitiveKind> = Redactor.allKinds
    ) -> Redaction {
        var walk = Walk(redactor: self, kinds: SensitiveKinds(kinds))
        let redacted = walk.value(value, depth: 0, under: nil)
        return Redaction(value: redacted, findings: walk.findings)
    }

    /// The text without anything sensitive of these kinds; one that is a JSON document is looked
    /// through as a document.
    package func redact(
        text: String,
        kinds: Set<SensitiveKind> = Redactor.allKinds
    ) -> (text: String, found: [SensitiveKind]) {
        var walk = Walk(redactor: self, kinds: SensitiveKinds(kinds))
        let redacted = walk.text(text, depth: 0)
        return (redacted, walk.findings.map(\.kind))
    }

    /// The text with marks in the place of parts.
    private func replaced(_ parts: [SensitiveText.Part], in text: [UInt8]) -> [UInt8] {
        var next: [UInt8] = []
        next.reserveCapacity(text.count + parts.count * 48)
        var end = 0
        for part in parts {
            next += text[end..<part.range.lowerBound]
            next += mark(part.kind, text[part.range]).utf8
            end = part.range.upperBound
        }
        return next + text[end...]
    }

    /// The mark of a secret; numbers are equal however they are grouped.
    fileprivate func mark(
        _ kind: SensitiveKind,
        _ secret: some Collection<UInt8>,
        type: String? = nil
    ) -> String {
        let bytes =
            switch kind {
            case .card, .phone: secret.filter(\.isDigit)
            case .iban: secret.filter(\.isAlphanumeric)
            default: Array(secret)
            }
        let digits = hexadecimal(digest(of: bytes).prefix(RedactionMark.digestDigits / 2))
        return RedactionMark(kind, type: type, digest: digits).text
    }

    /// One way through a document.
    private struct Walk {
        let redactor: Redactor
        let kinds: SensitiveKinds
        /// What was found, not more than are told of.
        private(set) var findings: [SensitiveFinding] = []
        /// How much was found.
        private var found = 0
        /// Values that were looked at, those in texts with them.
        private var count = 0
        /// Documents in texts that one is in.
        private var documents = 0
        /// Where one is; most values have nothing to be told of, so it is written out for those
        /// that have.
        private var place: [Step] = []

        private enum Step {
            case member(String)
            case element(Int)
        }

        init(redactor: Redactor, kinds: SensitiveKinds) {
            self.redactor = redactor
            self.kinds = kinds
        }

        mutating func value(
            _ value: JSONValue,
            depth: Int,
            under name: SensitiveName.Strength?
        ) -> JSONValue {
            count += 1
            guard depth <= redactor.limits.depth, count <= redactor.limits.values else {
                return unread(value)
            }
            switch value {
            case .null, .bool: return value
            case .integer, .double: return number(value, under: name)
            case .string(let text): return string(text, depth: depth, under: name)
            case .array(let elements):
                return .array(array(elements, depth: depth, under: name))
            case .object(let object):
                return .object(self.object(object, depth: depth, under: name))
            }
        }

        /// Elements, those behind an option such as `--password` as its values.
        private mutating func array(
            _ elements: [JSONValue],
            depth: Int,
            under name: SensitiveName.Strength?
        ) -> [JSONValue] {
            var redacted: [JSONValue] = []
            redacted.reserveCapacity(elements.count)
            var option: SensitiveName.Strength?
            for (index, element) in elements.enumerated() {
                let strength = name ?? option
                option = Self.optionStrength(of: element)
                place.append(.element(index))
                redacted.append(value(element, depth: depth + 1, under: strength))
                place.removeLast()
            }
            return redacted
        }

        /// The strength of the name in `--name` or `-name`, as an element of an argument vector.
        private static func optionStrength(of element: JSONValue) -> SensitiveName.Strength? {
            guard let bytes = element.string?.utf8, bytes.first == UInt8(ascii: "-")
            else { return nil }
            let name = bytes.drop { $0 == UInt8(ascii: "-") }
            let isName =
                !name.isEmpty && bytes.count - name.count <= 2
                && bytes.count <= SensitiveName.maximumBytes
                && name.allSatisfy { $0.isAlphanumeric || "-_.".utf8.contains($0) }
            return isName ? SensitiveName.strength(of: name) : nil
        }

        private mutating func object(
            _ object: JSONObject,
            depth: Int,
            under name: SensitiveName.Strength?
        ) -> JSONObject {
            let named = Self.nameOfValue(object)
            var redacted = JSONObject()
            for member in object.members {
                // A member's name may be a secret too.
                let key = text(member.key, depth: depth)
                var strength = name ?? Self.strength(of: member.key)
                if let named, Self.isValue(member.key) { strength = strength ?? named }
                place.append(.member(key))
                redacted.append(
                    key: key,
                    value: value(member.value, depth: depth + 1, under: strength)
                )
                place.removeLast()
            }
            return redacted
        }

        /// A mark in a name says nothing about what stands under it.
        private static func strength(of key: String) -> SensitiveName.Strength? {
            RedactionMark.isIn(key.utf8) ? nil : SensitiveName.strength(of: key.utf8)
        }

        /// The strength of the name in `{"name": "Authorization", "value": "…"}`.
        private static func nameOfValue(_ object: JSONObject) -> SensitiveName.Strength? {
            for member in object.members {
                guard isOneOf(namesOfNames, member.key), let name = member.value.string,
                    let strength = strength(of: name)
                else { continue }
                return strength
            }
            return nil
        }

        private static func isValue(_ key: String) -> Bool { isOneOf(namesOfValues, key) }

        private static let namesOfNames = ["name", "key", "header", "field"]
        private static let namesOfValues = ["value", "values", "content"]

        /// Whether a name is one of those, however it is written; three bytes a letter at most.
        private static func isOneOf(_ names: [String], _ key: String) -> Bool {
            key.utf8.count <= 3 * 7 && names.contains(key.lowercased())
        }

        private mutating func string(
            _ text: String,
            depth: Int,
            under name: SensitiveName.Strength?
        ) -> JSONValue {
            guard name != nil, kinds.contains(.named) else {
                return .string(self.text(text, depth: depth))
            }
            let bytes = Array(text.utf8)
            var start = 0
            for scheme in ["bearer ", "basic ", "token "]
            where text.utf8.count > scheme.utf8.count
                && text.prefix(scheme.count).lowercased() == scheme
            {
                start = scheme.utf8.count
            }
            guard start < bytes.count, !RedactionMark.isWhole(bytes[start...]) else {
                return .string(text)
            }
            note(.named)
            let scheme = String(decoding: bytes[..<start], as: UTF8.self)
            return .string(scheme + redactor.mark(.named, bytes[start...]))
        }

        /// A text under no name.
        mutating func text(_ text: String, depth: Int) -> String {
            var (current, isChanged) = (Array(text.utf8), false)
            for _ in 0..<Redactor.maximumPasses {
                // Also what only a mark has made a document of.
                if let document = self.document(current, depth: depth) {
                    return document
                }
                let parts = SensitiveText(current, kinds: kinds).parts
                guard !parts.isEmpty else {
                    return isChanged ? String(decoding: current, as: UTF8.self) : text
                }
                current = redactor.replaced(parts, in: current)
                isChanged = true
                for part in parts { note(part.kind) }
            }
            note(.unread)
            return redactor.mark(.unread, text.utf8)
        }

        /// A text that is a JSON document, compact where something was found in it; nil for other
        /// texts.
        ///
        /// The scanner of texts knows the value behind a name, and not what else stands in a list
        /// or an object there. Paths go on into the document.
        private mutating func document(
            _ text: [UInt8],
            depth: Int
        ) -> String? {
            guard Self.mayBeDocument(text) else { return nil }
            let value: JSONValue
            do throws(JSONError) {
                value = try JSONParser.parse(text)
            } catch {
                guard case .tooDeep = error else { return nil }
                note(.unread)
                return redactor.mark(.unread, text)
            }
            // With `\u005c` for `\`, each document costs the one round it a few bytes only.
            guard documents < Redactor.maximumDocuments else {
                note(.unread)
                return redactor.mark(.unread, text)
            }
            documents += 1
            defer { documents -= 1 }
            let before = found
            let redacted = self.value(value, depth: depth + 1, under: nil)
            guard found > before else { return String(decoding: text, as: UTF8.self) }
            // Too deep or one too many: the mark stands for all of it.
            return redacted.string ?? redacted.serializedText()
        }

        /// Whether a text begins and ends like an array or an object.
        private static func mayBeDocument(_ text: [UInt8]) -> Bool {
            guard let first = text.first(where: { !$0.isSpace }),
                let last = text.last(where: { !$0.isSpace })
            else { return false }
            return first == UInt8(ascii: "{") && last == UInt8(ascii: "}")
                || first == UInt8(ascii: "[") && last == UInt8(ascii: "]")
        }

        private mutating func number(
            _ value: JSONValue,
            under name: SensitiveName.Strength?
        ) -> JSONValue {
            let text = value.serialized()
            let type = if case .integer = value { "integer" } else { "number" }
            if name == .strict, kinds.contains(.named) {
                note(.named)
                return .string(redactor.mark(.named, text, type: type))
            }
            guard kinds.contains(.card), case .integer = value, text.allSatisfy(\.isDigit),
                SensitiveText.isCard(text.map { $0 - 48 })
            else { return value }
            note(.card)
            return .string(redactor.mark(.card, text, type: type))
        }

        private mutating func unread(_ value: JSONValue) -> JSONValue {
            let type: String?
            switch value {
            case .null, .bool: return value
            case .integer: type = "integer"
            case .double: type = "number"
            case .array: type = "array"
            case .object: type = "object"
            case .string(let text):
                if RedactionMark.isWhole(Array(text.utf8)[...]) { return value }
                type = nil
            }
            note(.unread)
            return .string(redactor.mark(.unread, value.serialized(), type: type))
        }

        private mutating func note(_ kind: SensitiveKind) {
            found += 1
            guard findings.count < redactor.limits.findings else { return }
            let path = place.reduce(into: "") { path, step in
                switch step {
                case .member(let key): path += "/\(Self.escaped(key))"
                case .element(let index): path += "/\(index)"
                }
            }
            findings.append(SensitiveFinding(path: path, kind: kind))
        }

        /// A name as it stands in a JSON pointer, cut.
        private static func escaped(_ key: String) -> String {
            let cut = String(decoding: key.utf8.prefix(Redactor.maximumName), as: UTF8.self)
            guard cut.utf8.contains(where: { $0 == 47 || $0 == 126 }) else { return cut }
            var text = ""
            for character in cut.unicodeScalars {
                switch character {
                case "~": text += "~0"
                case "/": text += "~1"
                default: text.unicodeScalars.append(character)
                }
            }
            return text
        }
    }
}
