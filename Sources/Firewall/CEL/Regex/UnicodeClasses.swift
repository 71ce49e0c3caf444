/// Named sets of code points: general categories, scripts, Perl's and POSIX's.
enum UnicodeClasses {
    /// The set `\p{name}` stands for; nil for names that are not known.
    static func named(_ name: String) -> ScalarSet? {
        if name == "Any" { return .all }
        if let category = categories[name] { return category }
        return scripts[name]
    }

    /// The set inside of `[:name:]`.
    static func posix(_ name: String) -> ScalarSet? {
        posixRanges[name].map { ranges in
            ScalarSet(ranges.map { UInt32($0.lowerBound)...UInt32($0.upperBound) })
        }
    }

    static let digits = ScalarSet([0x30...0x39])
    static let spaces = ScalarSet([0x09...0x0A, 0x0C...0x0D, 0x20...0x20])
    static let words = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])

    private static let posixRanges: [String: [ClosedRange<UInt8>]] = [
        "alnum": [48...57, 65...90, 97...122], "alpha": [65...90, 97...122],
        "ascii": [0...127], "blank": [9...9, 32...32], "cntrl": [0...31, 127...127],
        "digit": [48...57], "graph": [33...126], "lower": [97...122], "print": [32...126],
        "punct": [33...47, 58...64, 91...96, 123...126], "space": [9...13, 32...32],
        "upper": [65...90], "word": [48...57, 65...90, 95...95, 97...122],
        "xdigit": [48...57, 65...70, 97...102],
    ]

    /// Scripts by name; read when an expression first needs one.
    private static let scripts: [String: ScalarSet] = {
        var sets: [String: ScalarSet] = [:]
        for line in scriptTable.split(separator: "\n") {
            let words = line.split(separator: " ")
            let ranges = words.dropFirst().compactMap { word -> ClosedRange<UInt32>? in
                let parts = word.split(separator: "+")
                guard let first = UInt32(parts[0], radix: 16) else { return nil }
                let more = parts.count > 1 ? UInt32(parts[1], radix: 16) ?? 0 : 0
                return first...(first + more)
            }
            sets[String(words[0])] = ScalarSet(ranges)
        }
        return sets
    }()

    /// Sets of the general categories and of their groups, read once from the tables that Swift's
    /// library has; 20 ms when an expression first needs one.
    private static let categories: [String: ScalarSet] = {
        var ranges: [String: [ClosedRange<UInt32>]] = [:]
        var start: UInt32 = 0
        var present = category(of: 0)
        for value in 1...(ScalarSet.maximum + 1) {
            let next = value <= ScalarSet.maximum ? category(of: value) : ""
            guard next != present else { continue }
            // Groups have the first letter for their name; unassigned ones are in none.
            if present != "Cn" {
                ranges[present, default: []].append(start...(value - 1))
                ranges[String(present.prefix(1)), default: []].append(start...(value - 1))
            }
            start = value
            present = next
        }
        return ranges.mapValues { ScalarSet($0) }
    }()

    private static func category(of value: UInt32) -> String {
        guard let scalar = Unicode.Scalar(value) else { return "Cs" }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter: return "Lu"
        case .lowercaseLetter: return "Ll"
        case .titlecaseLetter: return "Lt"
        case .modifierLetter: return "Lm"
        case .otherLetter: return "Lo"
        case .nonspacingMark: return "Mn"
        case .spacingMark: return "Mc"
        case .enclosingMark: return "Me"
        case .decimalNumber: return "Nd"
        case .letterNumber: return "Nl"
        case .otherNumber: return "No"
        case .connectorPunctuation: return "Pc"
        case .dashPunctuation: return "Pd"
        case .openPunctuation: return "Ps"
        case .closePunctuation: return "Pe"
        case .initialPunctuation: return "Pi"
        case .finalPunctuation: return "Pf"
        case .otherPunctuation: return "Po"
        case .mathSymbol: return "Sm"
        case .currencySymbol: return "Sc"
        case .modifierSymbol: return "Sk"
        case .otherSymbol: return "So"
        case .spaceSeparator: return "Zs"
        case .lineSeparator: return "Zl"
        case .paragraphSeparator: return "Zp"
        case .control: return "Cc"
        case .format: return "Cf"
        case .surrogate: return "Cs"
        case .privateUse: return "Co"
        case .unassigned: return "Cn"
        @unknown default: return "Cn"
        }
    }
}
