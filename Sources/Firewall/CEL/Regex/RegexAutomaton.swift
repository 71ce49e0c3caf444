/// The deterministic automaton of a program, whose states are made when a text first leads to them.
///
/// A state is a set of places in the program at which the next byte is awaited, with what the byte
/// before was, so that assertions are decided when the next byte is known. Each byte of a text
/// costs one look into a table, or one pass over the program when the table has no answer yet; so
/// a search takes time linear in the text whatever the pattern.
struct RegexAutomaton {
    /// What the byte before a position was, as far as assertions ask.
    private enum Before: UInt8 {
        case start, newline, word, other
    }

    private struct State: Hashable {
        let places: [Int32]
        let before: Before
    }

    /// Places of the transition table; 1 MB, then it starts anew.
    private static let maximumTransitions = 1 << 18
    /// Marks in the transition table.
    private static let unknown: Int32 = -1
    private static let found: Int32 = -2

    private let program: RegexProgram
    /// Bytes that no instruction tells apart share a class; the last class is the text's end.
    private let classes: [UInt8]
    private let classCount: Int
    /// One byte of each class.
    private let samples: [UInt8]

    private var states: [State] = []
    private var numbers: [State: Int32] = [:]
    private var transitions: [Int32] = []

    // Scratch of a pass over the program.
    private var marks: [UInt64]
    private var generation: UInt64 = 0
    private var stack: [Int32] = []

    init(_ program: RegexProgram) {
        self.program = program
        var starts = [Bool](repeating: false, count: 257)
        starts[0] = true
        func cut(_ range: ClosedRange<UInt8>) {
            starts[Int(range.lowerBound)] = true
            starts[Int(range.upperBound) + 1] = true
        }
        for case .bytes(let range, _) in program.instructions { cut(range) }
        if program.hasAssertions {
            cut(10...10)
            for range in UnicodeClasses.words.ranges {
                cut(UInt8(range.lowerBound)...UInt8(range.upperBound))
            }
        }
        var classes: [UInt8] = []
        var samples: [UInt8] = []
        for byte in 0...255 {
            if starts[byte] { samples.append(UInt8(byte)) }
            classes.append(UInt8(samples.count - 1))
        }
        self.classes = classes
        self.samples = samples
        classCount = samples.count + 1
        marks = [UInt64](repeating: 0, count: program.instructions.count)
        reset()
    }

    /// Whether the pattern matches somewhere in the text.
    mutating func matches(_ text: Span<UInt8>) -> Bool {
        var state: Int32 = 0
        for index in text.indices {
            let byteClass = Int(classes[Int(text[index])])
            var next = transitions[Int(state) * classCount + byteClass]
            if next == Self.unknown { next = advance(state, byteClass) }
            if next == Self.found { return true }
            state = next
        }
        var last = transitions[Int(state) * classCount + classCount - 1]
        if last == Self.unknown { last = advance(state, classCount - 1) }
        return last == Self.found
    }

    private mutating func reset() {
        states.removeAll(keepingCapacity: true)
        numbers.removeAll(keepingCapacity: true)
        transitions.removeAll(keepingCapacity: true)
        _ = number(of: State(places: [program.start], before: .start))
    }

    private mutating func number(of state: State) -> Int32 {
        if let known = numbers[state] { return known }
        let number = Int32(states.count)
        states.append(state)
        numbers[state] = number
        transitions += repeatElement(Self.unknown, count: classCount)
        return number
    }

    /// Computes and remembers where a state leads.
    private mutating func advance(_ from: Int32, _ byteClass: Int) -> Int32 {
        let state = states[Int(from)]
        let isEnd = byteClass == classCount - 1
        let byte = isEnd ? nil : samples[byteClass]
        var places: [Int32] = []
        let isFound = follow(state, before: byte, taking: &places)
        let next: Int32
        if isFound {
            next = Self.found
        } else {
            // A match may begin after any byte.
            if !program.isAnchored, !isEnd { places.append(program.start) }
            places.sort()
            let before = byte.map(Self.before) ?? .other
            let target = State(
                places: Array(Set(places)).sorted(),
                before: program.hasAssertions ? before : .other
            )
            if transitions.count + classCount > Self.maximumTransitions, numbers[target] == nil {
                // The table is full: it starts anew from here. Numbers given out before are void.
                reset()
                return number(of: target)
            }
            next = number(of: target)
        }
        transitions[Int(from) * classCount + byteClass] = next
        return next
    }

    /// Follows a state's places up to instructions that take `byte`, nil at the end of the text.
    ///
    /// - Returns: Whether the match is reached.
    private mutating func follow(
        _ state: State,
        before byte: UInt8?,
        taking places: inout [Int32]
    ) -> Bool {
        generation += 1
        stack.removeAll(keepingCapacity: true)
        stack += state.places
        while let place = stack.popLast() {
            guard marks[Int(place)] != generation else { continue }
            marks[Int(place)] = generation
            switch program.instructions[Int(place)] {
            case .match: return true
            case .fail: break
            case .split(let first, let second):
                stack.append(second)
                stack.append(first)
            case .assertion(let assertion, let next):
                if holds(assertion, state.before, byte) { stack.append(next) }
            case .bytes(let range, let next):
                if let byte, range.contains(byte) { places.append(next) }
            }
        }
        return false
    }

    private func holds(_ assertion: RegexAssertion, _ before: Before, _ next: UInt8?) -> Bool {
        let isWord = next.map { Self.before($0) == .word } ?? false
        switch assertion {
        case .textStart: return before == .start
        case .textEnd: return next == nil
        case .lineStart: return before == .start || before == .newline
        case .lineEnd: return next == nil || next == 10
        case .wordBoundary: return (before == .word) != isWord
        case .noWordBoundary: return (before == .word) == isWord
        }
    }

    private static func before(_ byte: UInt8) -> Before {
        if byte == 10 { return .newline }
        return UnicodeClasses.words.contains(UInt32(byte)) ? .word : .other
    }
}
