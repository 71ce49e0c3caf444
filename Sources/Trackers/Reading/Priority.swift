/// Reads a priority from labels such as `priority:high`, `priority::critical`, `Priority/Low`,
/// `priority - medium`; the first such label counts.
func priority(fromLabels labels: [String]) -> String? {
    for label in labels {
        let bytes = Array(label.lowercased().utf8)
        guard bytes.starts(with: "priority".utf8) else { continue }
        let rest = bytes.dropFirst(8)
        // A separator must follow: `prioritytest` is another word.
        guard let first = rest.first, " :/-=_".utf8.contains(first) else { continue }
        let name = rest.drop { " :/-=_".utf8.contains($0) }
        if !name.isEmpty { return String(decoding: name, as: UTF8.self) }
    }
    return nil
}
