/// A token or password on its way from the operator to a request.
///
/// Printing, interpolating, dumping or mirroring one shows `<redacted>`; only ``reveal()`` gives
/// the text, so that each place that uses it can be found by name.
package struct Secret: Sendable, Hashable {
    private let text: String

    /// Wraps a secret as it was read, without surrounding white space.
    package init(_ text: String) {
        self.text = text
    }

    /// The text itself; for the request header and for sealing only.
    package func reveal() -> String { text }

    /// Whether there is nothing in it.
    package var isEmpty: Bool { text.isEmpty }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Always `<redacted>`.
    package var description: String { "<redacted>" }
    /// Always `<redacted>`.
    package var debugDescription: String { "<redacted>" }
    /// A mirror without children, so that `dump` shows nothing either.
    package var customMirror: Mirror { Mirror(self, children: []) }
}
