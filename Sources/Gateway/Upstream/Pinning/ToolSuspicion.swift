import Domain

/// What a person should look at before a tool of a stranger's server is accepted.
///
/// A definition is read by models: what is hidden in it, or speaks to the model instead of about
/// the tool, is how such servers take agents over.
enum ToolSuspicion {
    /// The flags of a definition, each once, in a fixed order.
    static func flags(of definition: JSONObject, own names: [String]) -> [String] {
        var texts: [String] = []
        collect(.object(definition), depth: 0, into: &texts)
        var flags: [String] = []
        for (flag, test) in tests where texts.contains(where: test) { flags.append(flag) }
        let name = definition["name"]?.string ?? ""
        let skeleton = NameSkeleton(name)
        if names.contains(where: { !haveEqualBytes($0, name) && NameSkeleton($0) == skeleton }) {
            flags.append("look-alike name")
        }
        return flags
    }

    private static let tests: [(String, @Sendable (String) -> Bool)] = [
        ("hidden characters", { $0.unicodeScalars.contains(where: isHidden) }),
        ("control characters", { $0.unicodeScalars.contains(where: isControl) }),
        ("comments", { $0.contains("<!--") }),
        ("speaks to the model", { speaksToModel($0) }),
    ]

    private static func collect(_ value: JSONValue, depth: Int, into texts: inout [String]) {
        // Deeper ones are no message: the parser refuses them.
        guard depth < 128 else { return }
        switch value {
        case .string(let text): texts.append(text)
        case .array(let elements):
            for element in elements { collect(element, depth: depth + 1, into: &texts) }
        case .object(let object):
            for member in object.members {
                texts.append(member.key)
                collect(member.value, depth: depth + 1, into: &texts)
            }
        case .null, .bool, .integer, .double: break
        }
    }

    /// Characters that nobody sees and models read: zero-width ones, marks of direction, tags,
    /// variation selectors beyond those of emoji, and the fillers of Hangul.
    static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B...0x180F,
            0x200B...0x200F, 0x202A...0x202E, 0x2060...0x206F, 0x3164, 0xFE00...0xFE0D, 0xFEFF,
            0xFFA0, 0xFFF0...0xFFFB, 0x1D173...0x1D17A, 0xE0000...0xE0FFF:
            true
        default: false
        }
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A, 0x0D: false
        case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029: true
        default: false
        }
    }

    /// Words of what has been seen in poisoned definitions; a person decides what they mean.
    private static let phrases = [
        "ignore previous", "ignore all previous", "ignore the above", "disregard previous",
        "disregard all", "forget previous", "do not tell the user", "don't tell the user",
        "do not mention", "don't mention this", "without telling the user", "do not inform",
        "system prompt", "you must always", "always call this tool", "before using any other tool",
        "before calling any other", "instead of any other tool", "<important>", "<system>",
        "[system]", "new instructions", "your instructions", "exfiltrate", "id_rsa", ".ssh/",
        "send the contents", "include the contents of", "read the file", "base64 encode",
    ]

    private static func speaksToModel(_ text: String) -> Bool {
        var lower = ""
        var wasSpace = false
        // A line break between the words does not make them others.
        for scalar in text.lowercased().unicodeScalars where !isHidden(scalar) {
            let isSpace = scalar.properties.isWhitespace
            if !isSpace {
                lower.unicodeScalars.append(scalar)
            } else if !wasSpace {
                lower.unicodeScalars.append(" ")
            }
            wasSpace = isSpace
        }
        return phrases.contains { lower.contains($0) }
    }
}

/// What a name looks like: names that people and models take for each other have the same.
///
/// Not the whole of Unicode's confusables: letters of Cyrillic and Greek that look Latin,
/// full-width forms, digits that look like letters, case, hidden characters, marks, and what
/// separates words.
struct NameSkeleton: Hashable, Sendable {
    private let text: String

    init(_ name: String) {
        var skeleton = ""
        for scalar in name.lowercased().unicodeScalars where !ToolSuspicion.isHidden(scalar) {
            // Full-width forms stand in the order of ASCII.
            var value = scalar.value
            if (0xFF01...0xFF5E).contains(value) { value -= 0xFEE0 }
            if scalar.properties.generalCategory == .nonspacingMark { continue }
            let plain = Unicode.Scalar(value).map(Character.init) ?? " "
            let base = Self.lookAlikes[plain] ?? Self.withoutMarks(plain)
            if !"_-. /:".contains(base) { skeleton.append(base) }
        }
        text = skeleton
    }

    private static func withoutMarks(_ character: Character) -> Character {
        guard let scalar = character.unicodeScalars.first, scalar.value > 0x7F,
            let (first, _) = accented.first(where: { $0.1.contains(character) })
        else { return character }
        return first
    }

    private static let accented: [(Character, Set<Character>)] = [
        ("a", Set("àáâãäåāăą")), ("c", Set("çćĉċč")), ("d", Set("ďđ")), ("e", Set("èéêëēĕėęě")),
        ("g", Set("ĝğġģ")), ("i", Set("ìíîïĩīĭįı")), ("n", Set("ñńņň")), ("o", Set("òóôõöøōŏő")),
        ("r", Set("ŕŗř")), ("s", Set("śŝşšș")), ("t", Set("ţťŧț")), ("u", Set("ùúûüũūŭůűų")),
        ("y", Set("ýÿŷ")), ("z", Set("źżž")),
    ]

    private static let lookAlikes: [Character: Character] = {
        var map: [Character: Character] = ["0": "o", "1": "l", "i": "l", "|": "l", "ɡ": "g"]
        let cyrillic = zip("аеорсухіјѕһԁԛԝвкмнтьгпзӏ", "aeopcyxljshdqwbkmhtbrn3l")
        let greek = zip("αορνικτυχβεηρμ", "aopvlktuxbenpu")
        for (mark, letter) in cyrillic { map[mark] = letter }
        for (mark, letter) in greek { map[mark] = letter }
        return map
    }()
}
