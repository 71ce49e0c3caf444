/// A number with the word for what is counted: `1 call`, `2 calls`.
///
/// - Parameters:
///   - number: How many.
///   - noun: The word for one, whose plural ends in `s`.
/// - Returns: Both.
package func counted(_ number: some BinaryInteger, _ noun: String) -> String {
    "\(number) \(noun)\(number == 1 ? "" : "s")"
}
