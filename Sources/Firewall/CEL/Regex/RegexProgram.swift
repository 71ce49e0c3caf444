/// A pattern as an automaton over bytes ("Regular Expression Search Algorithm", Thompson 1968; over
/// the bytes of UTF-8 as in "Regular Expression Matching in the Wild", Cox 2010).
struct RegexProgram: Sendable {
    enum Instruction: Sendable {
        /// Takes a byte of the range.
        case bytes(ClosedRange<UInt8>, next: Int32)
        case split(Int32, Int32)
        case assertion(RegexAssertion, next: Int32)
        case match
        /// A set without members.
        case fail
    }

    private(set) var instructions: [Instruction] = []
    private(set) var start: Int32 = 0
    /// Whether a match can only begin where the text does.
    private(set) var isAnchored = false
    private(set) var hasAssertions = false

    /// A Unicode class takes about 700; beyond this a pattern is built to be expensive.
    private static let maximumInstructions = 10_000

    init(_ syntax: RegexSyntax) throws(RegexError) {
        let match = try emit(.match)
        start = try compile(syntax, next: match)
        isAnchored = Self.beginsAtStart(syntax)
    }

    private static func beginsAtStart(_ syntax: RegexSyntax) -> Bool {
        switch syntax {
        case .assertion(.textStart): true
        case .concatenation(let parts): parts.first.map(beginsAtStart) ?? false
        case .alternation(let branches): branches.allSatisfy(beginsAtStart)
        case .repetition(let part, let minimum, _): minimum > 0 && beginsAtStart(part)
        case .empty, .set, .anyByte, .assertion: false
        }
    }

    private mutating func emit(_ instruction: Instruction) throws(RegexError) -> Int32 {
        guard instructions.count < Self.maximumInstructions else {
            throw RegexError(message: "the pattern is too large")
        }
        instructions.append(instruction)
        return Int32(instructions.count - 1)
    }

    /// Compiles so that `next` follows; returns where it begins.
    private mutating func compile(
        _ syntax: RegexSyntax,
        next: Int32
    ) throws(RegexError) -> Int32 {
        switch syntax {
        case .empty: return next
        case .set(let set): return try compile(set, next: next)
        case .anyByte: return try emit(.bytes(0...0xFF, next: next))
        case .assertion(let assertion):
            hasAssertions = true
            return try emit(.assertion(assertion, next: next))
        case .concatenation(let parts):
            var next = next
            for part in parts.reversed() { next = try compile(part, next: next) }
            return next
        case .alternation(let branches):
            var entries: [Int32] = []
            for branch in branches { entries.append(try compile(branch, next: next)) }
            return try choice(of: entries)
        case .repetition(let part, let minimum, let maximum):
            return try repetition(part, minimum, maximum, next: next)
        }
    }

    private mutating func choice(of entries: [Int32]) throws(RegexError) -> Int32 {
        guard var result = entries.last else { return try emit(.fail) }
        for entry in entries.dropLast().reversed() { result = try emit(.split(entry, result)) }
        return result
    }

    private mutating func repetition(
        _ part: RegexSyntax,
        _ minimum: Int,
        _ maximum: Int?,
        next: Int32
    ) throws(RegexError) -> Int32 {
        var entry = next
        if let maximum {
            for _ in minimum..<maximum {
                let taken = try compile(part, next: entry)
                entry = try emit(.split(taken, next))
            }
        } else {
            let loop = try emit(.split(next, next))
            let taken = try compile(part, next: loop)
            instructions[Int(loop)] = .split(taken, next)
            entry = loop
        }
        for _ in 0..<minimum { entry = try compile(part, next: entry) }
        return entry
    }

    // MARK: - UTF-8

    /// Compiles a set as the byte sequences of its code points; equal tails are shared.
    private mutating func compile(
        _ set: ScalarSet,
        next: Int32
    ) throws(RegexError) -> Int32 {
        var tails: [Tail: Int32] = [:]
        var entries: [Int32] = []
        for range in set.ranges {
            for sequence in UTF8Sequences.of(range) {
                var target = next
                for bytes in sequence.reversed() {
                    let tail = Tail(bytes: bytes, next: target)
                    if let known = tails[tail] {
                        target = known
                    } else {
                        target = try emit(.bytes(bytes, next: target))
                        tails[tail] = target
                    }
                }
                entries.append(target)
            }
        }
        return try choice(of: entries)
    }

    private struct Tail: Hashable {
        let bytes: ClosedRange<UInt8>
        let next: Int32
    }
}

/// Ranges of code points as sequences of ranges of bytes.
enum UTF8Sequences {
    private static let limits: [UInt32] = [0x7F, 0x7FF, 0xFFFF, 0x10FFFF]

    /// Sequences that together stand for exactly the code points of a range.
    static func of(_ range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
        var result: [[ClosedRange<UInt8>]] = []
        var low = range.lowerBound
        for limit in limits where low <= range.upperBound && low <= limit {
            split(low, min(range.upperBound, limit), into: &result)
            low = limit + 1
        }
        return result
    }

    /// Cuts until all bytes but one prefix range freely.
    private static func split(
        _ low: UInt32,
        _ high: UInt32,
        into result: inout [[ClosedRange<UInt8>]]
    ) {
        // Surrogates have no bytes.
        if low <= 0xDFFF, high >= 0xD800 {
            if low < 0xD800 { split(low, 0xD7FF, into: &result) }
            if high > 0xDFFF { split(0xE000, high, into: &result) }
            return
        }
        if high <= 0x7F {
            result.append([UInt8(low)...UInt8(high)])
            return
        }
        for bits in stride(from: UInt32(6), through: 18, by: 6) {
            let mask: UInt32 = (1 << bits) - 1
            guard low & ~mask != high & ~mask else { continue }
            if low & mask != 0 {
                split(low, low | mask, into: &result)
                split((low | mask) + 1, high, into: &result)
                return
            }
            if high & mask != mask {
                split(low, (high & ~mask) - 1, into: &result)
                split(high & ~mask, high, into: &result)
                return
            }
        }
        let (first, last) = (bytes(low), bytes(high))
        result.append(zip(first, last).map { $0...$1 })
    }

    private static func bytes(_ value: UInt32) -> [UInt8] {
        // Both ends are of one length, and none is a surrogate.
        Unicode.Scalar(value).map { Array(UTF8.encode($0) ?? .init()) } ?? []
    }
}
