/// A table for people: left-aligned columns, as wide as their widest cell.
package struct TextTable {
    private var rows: [[String]]

    /// A table that begins with a row of headings.
    package init(_ headings: [String]) {
        rows = [headings]
    }

    /// Adds a row with as many cells as there are headings.
    package mutating func append(_ cells: [String]) {
        precondition(cells.count == rows[0].count, "a row has a cell for each heading")
        rows.append(cells.map(singleLine))
    }

    /// The lines, without spaces at their ends.
    package var lines: [String] {
        let widths = rows[0].indices.map { column in
            rows.map { $0[column].unicodeScalars.count }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.unicodeScalars.count + 2)
            }
            while line.utf8.last == UInt8(ascii: " ") { line.removeLast() }
            return line
        }
    }
}

/// Text from a tracker made safe for a terminal: control characters, and with them line ends and
/// escape sequences, become spaces.
///
/// - Parameter text: Any text.
/// - Returns: One line.
package func singleLine(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { scalars.append(isControl(scalar) ? " " : scalar) }
    return String(scalars)
}

/// C0, DEL, C1, line and paragraph separators, and the marks that turn the direction of writing.
private func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
}
