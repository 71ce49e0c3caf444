import Domain

/// Where a remark stands in the diff of a merge request, as GitLab wants to be told.
///
/// An added line goes by its new number alone, a removed one by its old number alone, and a line
/// that did not change by both, which differ below other changes; both paths and the three commits
/// are always needed (docs.gitlab.com/api/discussions, "Create a new thread in the merge request
/// diff"). GitLab finds the line by exactly these numbers, and refuses what it does not find.
struct GitLabPosition {
    let comment: LineComment
    private let file: FileChange
    private let numbers: DiffLines.Numbers
    /// `base_sha`, `start_sha`, `head_sha`.
    private let commits: [(name: String, hash: String)]

    /// Looks for the line.
    ///
    /// - Parameters:
    ///   - comment: The remark.
    ///   - pull: The merge request as GitLab has it.
    ///   - files: Of the merge request.
    ///   - isComplete: Whether these are all of them.
    /// - Throws: ``TrackerError/refused(_:)`` for a line that cannot be there.
    init(
        of comment: LineComment,
        on pull: JSONValue,
        files: [FileChange],
        isComplete: Bool
    ) throws(TrackerError) {
        self.comment = comment
        var commits: [(name: String, hash: String)] = []
        for name in ["base_sha", "start_sha", "head_sha"] {
            guard let hash = pull["diff_refs"]?[name]?.string else {
                throw .refused(
                    WriteRefusal(
                        .conflict,
                        detail: "GitLab has made no diff of the merge request yet",
                        cure: "try again in a moment"
                    )
                )
            }
            commits.append((name, hash))
        }
        self.commits = commits
        guard let file = Self.file(of: comment, in: files) else {
            let problem =
                isComplete
                ? "is not changed by this merge request"
                : "is not among the first \(files.count) files of this merge request"
            throw .invalid(
                "path",
                "`\(comment.path)` \(problem)",
                cure: "use one of: "
                    + files.prefix(20).map { "`\($0.path)`" }.joined(separator: ", ")
            )
        }
        self.file = file
        numbers = try Self.numbers(of: comment, in: file)
    }

    /// The file that has the path on the remark's side, else the one that has it on the other: a
    /// new file may have the path that another one had.
    private static func file(of comment: LineComment, in files: [FileChange]) -> FileChange? {
        files.first { path(of: $0, on: comment.side) == comment.path }
            ?? files.first { $0.path == comment.path || $0.previousPath == comment.path }
    }

    /// Nil on a side where there is no such file.
    private static func path(of file: FileChange, on side: DiffSide) -> String? {
        switch (side, file.status) {
        case (.left, .added), (.right, .removed): nil
        case (.left, _): file.previousPath ?? file.path
        case (.right, _): file.path
        }
    }

    private static func numbers(
        of comment: LineComment,
        in file: FileChange
    ) throws(TrackerError) -> DiffLines.Numbers {
        let line = comment.line
        switch (file.status, comment.side) {
        case (.added, .left):
            throw refusal(comment, file, "the file is new: every line is on the side RIGHT")
        case (.removed, .right):
            throw refusal(comment, file, "the file is removed: every line is on the side LEFT")
        case (.added, .right) where file.patch == nil:
            return DiffLines.Numbers(old: nil, new: line)
        case (.removed, .left) where file.patch == nil:
            return DiffLines.Numbers(old: line, new: nil)
        case (.modified, _) where file.patch == nil:
            throw .invalid(
                "path",
                "`\(file.path)` has a diff that GitLab does not show: it is too large, or no text",
                cure: "comment on the merge request as a whole, without `path` and `line`"
            )
        case (.added, .right), (.removed, .left), (.modified, _), (.renamed, _): break
        }
        let numbers = DiffLines(patch: file.patch ?? "").numbers(of: line, on: comment.side)
        // A file that is new or removed has no lines besides those of its diff.
        let isWhole = file.status == .added || file.status == .removed
        let isUnchanged = numbers.old != nil && numbers.new != nil
        guard !(isWhole && isUnchanged), (numbers.old ?? 1) > 0, (numbers.new ?? 1) > 0 else {
            throw refusal(comment, file)
        }
        return numbers
    }

    /// As it is sent.
    var json: JSONValue {
        var position = JSONObject()
        position["position_type"] = "text"
        for commit in commits { position[commit.name] = .string(commit.hash) }
        position["new_path"] = .string(file.path)
        position["old_path"] = .string(oldPath)
        if let line = numbers.new { position["new_line"] = .integer(Int64(line)) }
        if let line = numbers.old { position["old_line"] = .integer(Int64(line)) }
        return .object(position)
    }

    private var oldPath: String { file.previousPath ?? file.path }

    /// As GitLab's answers are read: a line that is in both files by the new one.
    var place: PullRequestComment.Place {
        let isOld = numbers.new == nil
        return PullRequestComment.Place(
            path: sanitized(isOld ? oldPath : file.path),
            line: numbers.new ?? numbers.old,
            side: isOld ? .left : .right
        )
    }

    // MARK: - Refusals

    /// What a refusal of the remark means; GitLab's own words for a line that it does not find are
    /// `Note {:line_code=>["can't be blank", "must be a valid line code"]}`.
    func explained(_ error: TrackerError) -> TrackerError {
        guard case .refused(let refusal) = error, refusal.reason == .invalid,
            refusal.detail.contains("line_code")
        else { return error }
        return Self.refusal(comment, file, refusal.detail)
    }

    private static func refusal(
        _ comment: LineComment,
        _ file: FileChange,
        _ detail: String = ""
    ) -> TrackerError {
        let (side, version) = comment.side == .left ? ("LEFT", "old") : ("RIGHT", "new")
        let ranges = DiffLines(patch: file.patch ?? "").shown(on: comment.side)
        let lines = ranges.prefix(10).map { range in
            range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
        }
        let problem =
            "\(comment.line) is no line of the \(version) `\(comment.path)` that a remark can "
            + "stand on"
        return .refused(
            WriteRefusal(
                .invalid,
                detail: detail,
                fields: [WriteRefusal.FieldProblem(field: "line", problem: problem)],
                cure: lines.isEmpty
                    ? "the diff has nothing on \(side): give the other `side`, or comment on the "
                        + "merge request as a whole"
                    : "use a line of the diff: on \(side) it shows "
                        + lines.joined(separator: ", ")
            )
        )
    }
}
