/// Why searching or indexing failed.
package enum SearchError: Error, Equatable, Sendable {
    /// The embedder gives vectors of another length than it says.
    case unexpectedVectors(model: String, expected: Int, found: Int)
    /// The query has neither word nor meaning: white space or punctuation only.
    case emptyQuery
    /// Paging does not reach that far.
    case pageOutOfRange(maximum: Int)
    /// There is no such issue, or it is deleted.
    case unknownIssue(reference: String)
    /// More than one issue has that reference.
    case ambiguousIssue(reference: String, candidates: [String])
    /// A line of an import file cannot be used.
    case invalidImport(line: Int, reason: String)
    /// A file or directory cannot be read or written.
    case file(path: String, code: Int32)
    /// The index in memory holds as many windows as it may, and more are stored.
    case indexFull(capacity: Int)
    /// Vectors are to be searched by the database, and it cannot.
    case noMirror(reason: String, advice: String?)
    /// Many windows were written without the mirror and are not in it yet.
    case mirrorBehind
    /// The vectors are of another model than this process has, and somebody else uses that one.
    case otherModel(current: String, own: String, user: String)
}

extension SearchError: CustomStringConvertible {
    /// One line: what is wrong and where.
    package var description: String {
        switch self {
        case .unexpectedVectors(let model, let expected, let found):
            "the model `\(model)` gave vectors of \(found) numbers instead of \(expected)"
        case .emptyQuery: "the query has no word to search for"
        case .pageOutOfRange(let maximum): "offset plus limit is greater than \(maximum)"
        case .unknownIssue(let reference): "there is no issue `\(reference)`"
        case .ambiguousIssue(let reference, let candidates):
            "`\(reference)` could be \(candidates.joined(separator: ", "))"
        case .invalidImport(let line, let reason): "line \(line) of the import: \(reason)"
        case .file(let path, let code): "cannot use `\(path)` (errno \(code))"
        case .indexFull(let capacity):
            "the vector index is full: it may hold \(capacity) windows, and the store has more"
        case .noMirror(let reason, _): "the database cannot search vectors: \(reason)"
        case .mirrorBehind: "the database's mirror of the vectors is still being filled"
        case .otherModel(let current, let own, let user):
            "the vectors are of the model \(current), which \(user) has used within a day, and "
                + "this process has \(own)"
        }
    }

    /// What an operator can do.
    package var hint: String? {
        switch self {
        case .unexpectedVectors: "check the model's configuration"
        case .emptyQuery: "write a few words"
        case .pageOutOfRange: "restrict the search by a filter"
        case .unknownIssue: "scan its project first, or check the spelling"
        case .ambiguousIssue: "give the issue's URL"
        case .invalidImport: "each line is an object with id, source, title, body"
        case .file: nil
        case .indexFull:
            "set PRELOOP_INDEX_CAPACITY to a larger number; nothing is lost, and what is indexed "
                + "stays"
        case .noMirror(_, let advice): advice
        case .mirrorBehind:
            "fill it with `preloop doctor --vectors --repair`, or wait for the scan that does"
        case .otherModel:
            "give every program of this database the same model (PRELOOP_EMBEDDING_PROVIDER, "
                + "PRELOOP_EMBEDDING_MODEL); to change it, give all of them the new one and run "
                + "`preloop index rebuild` once"
        }
    }
}
