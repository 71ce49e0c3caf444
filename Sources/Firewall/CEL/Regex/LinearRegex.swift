import Synchronization

/// A compiled pattern that tells in linear time whether it matches somewhere in a text.
final class LinearRegex: Sendable {
    /// How many instructions it has; a text's cost grows with it.
    let size: Int
    private let program: RegexProgram
    private let automaton: Mutex<RegexAutomaton>

    /// Compiles a pattern in RE2's syntax.
    init(_ pattern: String) throws(RegexError) {
        program = try RegexProgram(try RegexParser.parse(pattern))
        size = program.instructions.count
        automaton = Mutex(RegexAutomaton(program))
    }

    /// Whether the pattern matches somewhere in the text.
    ///
    /// - Complexity: O(n) in the text's bytes once its states are known, O(n · m) before.
    func matches(_ text: String) -> Bool {
        let shared = automaton.withLockIfAvailable { automaton in
            text.withSpan { automaton.matches($0) }
        }
        if let shared { return shared }
        // Another thread is searching: nobody waits, this search makes its own states.
        var own = RegexAutomaton(program)
        return text.withSpan { own.matches($0) }
    }
}

/// Patterns that came as values, by their text.
enum RegexCache {
    /// Policies have few patterns; one takes some KB, or 1 MB at worst.
    private static let maximumCount = 64
    /// Longer patterns are compiled each time and not kept.
    private static let maximumPatternBytes = 4 << 10

    private static let cache = Mutex<[ByteText: LinearRegex]>([:])

    /// The compiled pattern.
    static func regex(_ pattern: String) throws(RegexError) -> LinearRegex {
        if let known = cache.withLock({ $0[ByteText(pattern)] }) { return known }
        let regex = try LinearRegex(pattern)
        if pattern.utf8.count <= maximumPatternBytes {
            cache.withLock { cache in
                if cache.count >= maximumCount { cache.removeAll(keepingCapacity: true) }
                cache[ByteText(pattern)] = regex
            }
        }
        return regex
    }
}
