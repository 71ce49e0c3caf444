package import Domain

/// What the lexical index holds of an issue: the terms of its three texts, as stored.
package struct LexicalDocument: Sendable, Equatable {
    /// How much text of an issue is indexed.
    ///
    /// Far beyond any report, far below a pasted log of 1 MB.
    package enum Limits {
        /// Terms of a title.
        static let titleTerms = 256
        /// Terms of a body.
        static let bodyTerms = 8_192
        /// Terms of all comments together.
        static let commentTerms = 8_192
    }

    package var issue: IssueID
    /// Terms joined by spaces.
    package private(set) var title: String
    /// Terms joined by spaces.
    package private(set) var body: String
    /// Terms joined by spaces.
    package private(set) var comments: String

    /// The title's terms in order.
    package var titleTerms: [String] { Self.split(title) }
    /// The body's terms in order.
    package var bodyTerms: [String] { Self.split(body) }

    /// Takes the terms from an issue's texts.
    package init(issue: IssueID, title: String, body: String, comments: [String]) {
        self.issue = issue
        self.title = TextAnalyzer.storedForm(of: title, limit: Limits.titleTerms)
        self.body = TextAnalyzer.storedForm(of: body, limit: Limits.bodyTerms)
        self.comments = TextAnalyzer.storedForm(
            of: comments.joined(separator: "\n"),
            limit: Limits.commentTerms
        )
    }

    /// Wraps what is stored.
    init(issue: IssueID, title: String, body: String, comments: String) {
        self.issue = issue
        self.title = title
        self.body = body
        self.comments = comments
    }

    private static func split(_ stored: String) -> [String] {
        stored.utf8.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
    }
}
