import Domain

extension GitLabReading {
    /// A single merge request.
    static func mergeRequest(
        _ fields: FieldReader,
        issue: Issue
    ) throws(FieldError) -> PullRequest {
        let sha = try fields.optionalText("sha")
        let detailed = try fields.optionalText("detailed_merge_status")
        let simple = try fields.optionalText("merge_status")
        var pull = PullRequest(
            issue: issue,
            sourceBranch: try fields.text("source_branch"),
            targetBranch: try fields.text("target_branch"),
            headRevision: fields.optionalText("diff_refs", "head_sha") ?? sha ?? ""
        )
        pull.isDraft = fields.value["draft"]?.bool ?? false
        pull.isMerged = issue.status == "merged"
        pull.mergeStatus = detailed ?? simple
        pull.reviewers = fields.texts("reviewers", member: "username")
        // `1000+` when there are more.
        pull.changedFileCount = fields.value["changes_count"]?.string.flatMap { Int($0) }
        return pull
    }

    static func diff(_ fields: FieldReader) throws(FieldError) -> FileChange {
        let path = try fields.text("new_path")
        let old = try fields.optionalText("old_path")
        let patch = try fields.optionalText("diff")
        func isSet(_ key: String) -> Bool { fields.value[key]?.bool ?? false }
        let counts = DiffLines(patch: patch ?? "").counts
        return FileChange(
            path: path,
            previousPath: isSet("renamed_file") ? old : nil,
            status: isSet("new_file")
                ? .added
                : isSet("deleted_file") ? .removed : isSet("renamed_file") ? .renamed : .modified,
            additions: counts.additions,
            deletions: counts.deletions,
            patch: patch.flatMap { $0.isEmpty ? nil : $0 }
        )
    }

    /// The notes of a thread that people wrote.
    static func thread(_ fields: FieldReader) throws(FieldError) -> [PullRequestComment] {
        let id = try fields.identifier("id")
        let notes = fields.value["notes"]?.array ?? []
        var comments: [PullRequestComment] = []
        for note in notes where note["system"]?.bool != true {
            var comment = try remark(FieldReader(note))
            comment.threadID = id
            comment.replyTo = comments.first?.comment.externalID
            comments.append(comment)
        }
        return comments
    }

    /// A note with the place it stands at.
    static func remark(_ fields: FieldReader) throws(FieldError) -> PullRequestComment {
        var comment = PullRequestComment(comment: try anyNote(fields))
        if let position = fields.value["position"], !position.isNull {
            let new = position["new_line"]?.integer.flatMap { Int(exactly: $0) }
            let old = position["old_line"]?.integer.flatMap { Int(exactly: $0) }
            let path = position[new == nil ? "old_path" : "new_path"]?.string
            comment.place = PullRequestComment.Place(
                path: sanitized(path ?? position["new_path"]?.string ?? ""),
                line: new ?? old,
                side: new == nil && old != nil ? .left : .right
            )
        }
        if fields.value["resolvable"]?.bool == true {
            comment.isResolved = fields.value["resolved"]?.bool
        }
        return comment
    }

    /// A pipeline as one check.
    static func check(_ pipeline: JSONValue) -> Checks.Check? {
        guard let status = pipeline["status"]?.string else { return nil }
        let state: Checks.State =
            switch status {
            case "success", "skipped", "manual": .success
            case "failed", "canceled": .failure
            default: .pending
            }
        return Checks.Check(
            name: "pipeline",
            state: state,
            url: pipeline["web_url"]?.string.map(sanitized)
        )
    }

    /// Those who approved.
    static func approvals(_ value: JSONValue) -> [Review] {
        (value["approved_by"]?.array ?? []).compactMap { entry in
            guard let name = entry["user"]?["username"]?.string else { return nil }
            return Review(
                externalID: entry["user"]?["id"]?.integer.map { String($0) } ?? name,
                author: sanitized(name),
                verdict: .approved,
                body: "",
                submittedAt: entry["approved_at"]?.string.flatMap { Timestamp(parsing: $0) }
            )
        }
    }
}
