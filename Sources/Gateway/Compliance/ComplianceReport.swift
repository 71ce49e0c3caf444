import Domain

/// How an issue stands against a metric.
struct ComplianceReport: Sendable, Equatable {
    /// One thing that was looked at.
    struct Finding: Sendable, Equatable {
        var id: String
        var requirement: String
        var weight: Double
        var passed: Bool
        /// What was found.
        var detail: String
        var advice: String
    }

    /// A question that nobody answered.
    struct Unanswered: Sendable, Equatable {
        var question: String
        var reason: String
    }

    var metric: ComplianceMetric
    var findings: [Finding]
    var unanswered: [Unanswered]
    /// `checks`, or the model that answered the questions too.
    var judgedBy: String

    /// The weight of what passed over the weight of what was looked at, 0...1.
    var factor: Double {
        let all = findings.reduce(0) { $0 + $1.weight }
        guard all > 0 else { return 0 }
        return findings.filter(\.passed).reduce(0) { $0 + $1.weight } / all
    }

    var failed: [Finding] { findings.filter { !$0.passed } }

    /// One sentence.
    var reason: String {
        let passed = findings.count - failed.count
        var text = "\(passed) of \(findings.count) requirements are met"
        if !failed.isEmpty {
            text += "; not met: " + failed.map(\.requirement).joined(separator: ", ")
        }
        if !unanswered.isEmpty { text += "; \(unanswered.count) not looked at" }
        return text
    }

    /// What to do, most important first.
    var suggestion: String {
        guard !failed.isEmpty else { return "Nothing to do." }
        return failed.sorted { $0.weight > $1.weight }.map { "- \($0.advice)" }
            .joined(separator: "\n")
    }

    /// The description with a line for everything that is not met.
    func annotated(_ description: String) -> String {
        guard !failed.isEmpty else { return description }
        let notes = failed.map { "> **\(metric.shortName)**: not met: \($0.requirement)" }
        return (description.isEmpty ? [] : [description, ""]).joined(separator: "\n")
            + notes.joined(separator: "\n")
    }
}

/// Checks issues by rules alone: the same issue gives the same findings.
struct ComplianceChecker: Sendable {
    let metric: ComplianceMetric

    func findings(on issue: Issue) -> [ComplianceReport.Finding] {
        let text = IssueText(issue)
        return metric.checks.map { check in
            let (passed, detail) = text.meets(check.rule)
            return ComplianceReport.Finding(
                id: check.id,
                requirement: check.requirement,
                weight: check.weight,
                passed: passed,
                detail: detail,
                advice: check.advice
            )
        }
    }
}

/// An issue as the rules look at it.
private struct IssueText {
    let issue: Issue
    let titleWords: Int
    let bodyWords: Int
    /// Title and body in lower case.
    let everything: String
    let body: String
    let sections: [(heading: String, words: Int)]
    let listItems: Int

    init(_ issue: Issue) {
        self.issue = issue
        titleWords = Self.words(issue.title)
        bodyWords = Self.words(issue.body)
        body = issue.body.lowercased()
        everything = issue.title.lowercased() + "\n" + body
        let lines = body.split(separator: "\n", omittingEmptySubsequences: true)
            .map { $0.trimmingSpaces }
        sections = Self.sections(lines)
        listItems = lines.count(where: Self.isListItem)
    }

    func meets(_ rule: ComplianceMetric.Rule) -> (Bool, String) {
        switch rule {
        case .titleWords(let minimum, let maximum):
            return ((minimum...max(minimum, maximum)).contains(titleWords), "\(titleWords) words")
        case .bodyWords(let minimum): return (bodyWords >= minimum, "\(bodyWords) words")
        case .section(let names):
            let found = sections.filter { section in
                names.contains { section.heading.contains($0.lowercased()) }
            }
            guard let first = found.first else { return (false, "no such section") }
            guard let filled = found.first(where: { $0.words > 0 }) else {
                return (false, "the section `\(first.heading)` is empty")
            }
            return (true, "section `\(filled.heading)`")
        case .phrase(let phrases):
            let found = phrases.first { body.contains($0.lowercased()) }
            return (found != nil, found.map { "found `\($0)`" } ?? "not found")
        case .noPhrase(let phrases):
            let found = phrases.first { everything.contains($0.lowercased()) }
            return (found == nil, found.map { "found `\($0)`" } ?? "none found")
        case .listItems(let minimum): return (listItems >= minimum, "\(listItems) list items")
        case .classified:
            let names = issue.labels + [issue.type].compactMap { $0 }
            return (!names.isEmpty, names.isEmpty ? "none" : names.joined(separator: ", "))
        case .prioritized: return (issue.priority != nil, issue.priority ?? "none")
        case .assigned: return (!issue.assignees.isEmpty, issue.assignees.first ?? "nobody")
        }
    }

    private static func words(_ text: String) -> Int {
        text.split(whereSeparator: \.isWhitespace).count { $0.contains(where: \.isLetter) }
    }

    /// Headings of Markdown, bold lines, and lines that end with a colon, with the words below.
    private static func sections(_ lines: [Substring]) -> [(heading: String, words: Int)] {
        var sections: [(heading: String, words: Int)] = []
        for line in lines {
            if let heading = heading(line) {
                sections.append((heading.name, words(heading.rest)))
            } else if !sections.isEmpty {
                sections[sections.count - 1].words += words(String(line))
            }
        }
        return sections
    }

    /// The heading of a line, and the text that follows it on the same line.
    private static func heading(_ line: Substring) -> (name: String, rest: String)? {
        let bare = line.drop { $0 == "#" || $0 == "*" || $0 == "_" || $0 == " " }
        if line.first == "#" { return (String(bare.trimmingMarks), "") }
        if line.first == "*" || line.first == "_", let last = line.last, "*_:".contains(last),
            bare.count < 60, line.prefix(2) != "* "
        {
            return (String(bare.trimmingMarks), "")
        }
        // `Expected result: it works`, within what a heading may be long.
        guard let colon = line.firstIndex(of: ":"),
            line.distance(from: line.startIndex, to: colon) < 40, !isListItem(line)
        else { return nil }
        let rest = line[line.index(after: colon)...]
        guard rest.isEmpty || rest.first == " " || rest.first == "*" else { return nil }
        return (String(line[..<colon].trimmingMarks), String(rest))
    }

    private static func isListItem(_ line: Substring) -> Bool {
        if ["- ", "* ", "+ "].contains(where: { line.hasPrefix($0) }) { return true }
        let digits = line.prefix(while: \.isNumber)
        return !digits.isEmpty && digits.count <= 3
            && (line.dropFirst(digits.count).hasPrefix(". ")
                || line.dropFirst(digits.count).hasPrefix(") "))
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var text = drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    fileprivate var trimmingMarks: Substring {
        var text = drop { "#*_: ".contains($0) }
        while let last = text.last, "#*_: ".contains(last) { text.removeLast() }
        return text
    }
}
