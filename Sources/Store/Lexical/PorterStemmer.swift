/// Reduces English words to their stems, so that `crashes`, `crashed` and `crashing` are one term.
///
/// The algorithm of M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with
/// the steps named as there. FTS5 has one of its own, but query terms are chosen by their frequency
/// in the index, for which they must be known in the index's spelling before the query is asked.
struct PorterStemmer {
    private var word: [UInt8]

    private init(_ word: [UInt8]) {
        self.word = word
    }

    /// The stem of a lower-case ASCII word; anything else comes back as it is.
    static func stem(_ word: [UInt8]) -> [UInt8] {
        // Words of two letters have no suffix (Porter's own implementation says so, too).
        guard word.count > 2, word.allSatisfy({ (97...122).contains($0) }) else { return word }
        var stemmer = PorterStemmer(word)
        stemmer.removePlural()
        stemmer.removePastAndProgressive()
        stemmer.turnFinalY()
        stemmer.replace(Self.step2, whenMeasureExceeds: 0)
        stemmer.replace(Self.step3, whenMeasureExceeds: 0)
        stemmer.removeStep4()
        stemmer.removeFinalE()
        return stemmer.word
    }

    // MARK: - Steps

    /// Step 1a.
    private mutating func removePlural() {
        if ends("sses") || ends("ies") {
            word.removeLast(2)
        } else if ends("s"), !ends("ss") {
            word.removeLast()
        }
    }

    /// Step 1b.
    private mutating func removePastAndProgressive() {
        if ends("eed") {
            if measure(word.count - 3) > 0 { word.removeLast() }
            return
        }
        if ends("ed"), hasVowel(word.count - 2) {
            word.removeLast(2)
        } else if ends("ing"), hasVowel(word.count - 3) {
            word.removeLast(3)
        } else {
            return
        }
        if ends("at") || ends("bl") || ends("iz") {
            word.append(UInt8(ascii: "e"))
        } else if endsInDoubleConsonant, let last = word.last, !"lsz".utf8.contains(last) {
            word.removeLast()
        } else if measure(word.count) == 1, endsInShortSyllable(word.count) {
            word.append(UInt8(ascii: "e"))
        }
    }

    /// Step 1c.
    private mutating func turnFinalY() {
        if ends("y"), hasVowel(word.count - 1) { word[word.count - 1] = UInt8(ascii: "i") }
    }

    /// Steps 2 and 3: the first suffix that fits is the only one tried.
    private mutating func replace(
        _ rules: [(suffix: StaticString, replacement: StaticString)],
        whenMeasureExceeds limit: Int
    ) {
        for rule in rules where ends(rule.suffix) {
            let stem = word.count - rule.suffix.utf8CodeUnitCount
            if measure(stem) > limit {
                word.removeSubrange(stem...)
                rule.replacement.withUTF8Buffer { unsafe word.append(contentsOf: $0) }
            }
            return
        }
    }

    /// Step 4.
    private mutating func removeStep4() {
        for suffix in Self.step4 where ends(suffix) {
            let stem = word.count - suffix.utf8CodeUnitCount
            guard measure(stem) > 1 else { return }
            if ends("ion"),
                !(word[stem - 1] == UInt8(ascii: "s") || word[stem - 1] == UInt8(ascii: "t"))
            {
                return
            }
            word.removeSubrange(stem...)
            return
        }
    }

    /// Steps 5a and 5b.
    private mutating func removeFinalE() {
        if ends("e") {
            let stem = word.count - 1
            let length = measure(stem)
            if length > 1 || (length == 1 && !endsInShortSyllable(stem)) { word.removeLast() }
        }
        if ends("ll"), measure(word.count) > 1 { word.removeLast() }
    }

    // MARK: - Conditions

    private func ends(_ suffix: StaticString) -> Bool {
        suffix.withUTF8Buffer { suffix in
            guard word.count > suffix.count else { return false }
            let start = word.count - suffix.count
            for offset in 0..<suffix.count where unsafe word[start + offset] != suffix[offset] {
                return false
            }
            return true
        }
    }

    /// Whether the letter is a consonant; `y` is one at the start and after a vowel.
    private func isConsonant(_ place: Int) -> Bool {
        switch word[place] {
        case UInt8(ascii: "a"), UInt8(ascii: "e"), UInt8(ascii: "i"), UInt8(ascii: "o"),
            UInt8(ascii: "u"):
            false
        case UInt8(ascii: "y"): place == 0 || !isConsonant(place - 1)
        default: true
        }
    }

    /// m of the first `count` letters: how many times a vowel run is followed by a consonant run.
    private func measure(_ count: Int) -> Int {
        var changes = 0
        var wasVowel = false
        for place in 0..<count {
            let isVowel = !isConsonant(place)
            if wasVowel, !isVowel { changes += 1 }
            wasVowel = isVowel
        }
        return changes
    }

    private func hasVowel(_ count: Int) -> Bool {
        (0..<count).contains { !isConsonant($0) }
    }

    private var endsInDoubleConsonant: Bool {
        word.count > 1 && word[word.count - 1] == word[word.count - 2]
            && isConsonant(word.count - 1)
    }

    /// Porter's *o: consonant, vowel, consonant, the last not w, x or y.
    private func endsInShortSyllable(_ count: Int) -> Bool {
        guard count > 2 else { return false }
        return isConsonant(count - 1) && !isConsonant(count - 2) && isConsonant(count - 3)
            && !"wxy".utf8.contains(word[count - 1])
    }

    // MARK: - Rules

    private static let step2: [(suffix: StaticString, replacement: StaticString)] = [
        ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"),
        ("abli", "able"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"),
        ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"),
        ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"),
        ("iviti", "ive"), ("biliti", "ble"),
    ]

    private static let step3: [(suffix: StaticString, replacement: StaticString)] = [
        ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"),
        ("ful", ""), ("ness", ""),
    ]

    private static let step4: [StaticString] = [
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion",
        "ou", "ism", "ate", "iti", "ous", "ive", "ize",
    ]
}
