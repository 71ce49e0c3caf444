/// A text with everything by its number that cannot be seen, or could be taken for something else:
/// control characters, marks of direction, zero-width and combining characters, odd spaces.
///
/// For what other servers say, where a character that hides is the thing to look for.
package func visibleLine(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        let isSeen =
            (0x20..<0x7F).contains(scalar.value)
            || (scalar.value > 0xA0 && scalar.properties.generalCategory.isVisible)
        if isSeen {
            result.unicodeScalars.append(scalar)
        } else {
            result += "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
    return result
}

extension Unicode.GeneralCategory {
    fileprivate var isVisible: Bool {
        switch self {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
            .decimalNumber, .letterNumber, .otherNumber, .connectorPunctuation, .dashPunctuation,
            .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
            .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
            true
        default: false
        }
    }
}
