/// A provider's key; printing it, or anything that holds it, shows nothing.
package struct APIKey: Sendable, Equatable {
    /// The key itself, for one request header and nothing else.
    let rawValue: String

    package init(_ rawValue: String) {
        self.rawValue = rawValue
    }
}

extension APIKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Never the key.
    package var description: String { "<redacted>" }
    /// Never the key.
    package var debugDescription: String { "<redacted>" }
    /// Has no children, so that `dump` shows nothing either.
    package var customMirror: Mirror { Mirror(self, children: []) }
}
