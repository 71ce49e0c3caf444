/// One numbered step of the schema; append-only, never edited after release.
package struct Migration: Sendable {
    package let number: Int
    package let name: String
    /// DDL in order, understood by both engines.
    package let statements: [String]

    /// Every step, oldest first.
    package static let all: [Migration] = [.initial, .pairsBySecond]
}
