import Bootstrap
import Domain
import Search
import Store

extension SearchHit {
    /// The form of `--json`.
    var json: JSONValue {
        [
            "issue": issue.json, "score": .double(score),
            "vector_score": vectorScore.map(JSONValue.double) ?? .null,
            "lexical_score": lexicalScore.map(JSONValue.double) ?? .null,
            "passage": passage.map { passage in
                ["part": .string(passage.part.rawValue), "text": .string(passage.text)]
            } ?? .null,
        ]
    }

    /// The hit for people: score, issue, address, the passage that matched.
    func lines(rank: Int, names: IssueNames) -> [String] {
        var lines = ["\(rank). \(twoDecimals(score))  \(names.line(of: issue))"]
        if !issue.url.isEmpty { lines.append("   \(singleLine(issue.url))") }
        if let passage, !passage.text.utf8.elementsEqual(issue.title.utf8) {
            lines.append("   \(passage.part.rawValue): \(singleLine(passage.text))")
        }
        return lines
    }
}
