import Glibc

/// Replaces NUL, which PostgreSQL refuses in text and jsonb, by U+FFFD; all else is kept.
///
/// Unpaired surrogates cannot occur in a Swift string: ``JSONValue`` replaces them while parsing.
package func sanitized(_ text: String) -> String {
    guard hasNUL(text) else { return text }
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        scalars.append(scalar.value == 0 ? "\u{FFFD}" : scalar)
    }
    return String(scalars)
}

/// Looked for by the C library: each text that is stored is looked through.
private func hasNUL(_ text: String) -> Bool {
    let found = unsafe text.utf8.withContiguousStorageIfAvailable { bytes in
        unsafe bytes.baseAddress.map { unsafe memchr($0, 0, bytes.count) != nil } ?? false
    }
    return found ?? text.utf8.contains(0)
}

/// Whether two texts have the same bytes.
///
/// `==` on strings is canonical equivalence, which calls composed and decomposed letters equal and
/// would miss such an edit.
package func haveEqualBytes(_ left: String, _ right: String) -> Bool {
    // Most texts that differ are of another length, which is known.
    left.utf8.count == right.utf8.count && left.utf8.elementsEqual(right.utf8)
}
