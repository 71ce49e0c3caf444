import Domain

extension GitHubReading {
    /// A single pull request; `issue` is its row among the issues, whose identifier a store knows.
    static func pullRequest(
        _ fields: FieldReader,
        issue: Issue
    ) throws(FieldError) -> PullRequest {
        let head = fields.value["head"]
        guard let source = head?["ref"]?.string, let revision = head?["sha"]?.string else {
            throw FieldError(field: "head", problem: "is missing")
        }
        var pull = PullRequest(
            issue: issue,
            sourceBranch: sanitized(source),
            targetBranch: fields.optionalText("base", "ref") ?? "",
            headRevision: sanitized(revision)
        )
        pull.isDraft = fields.value["draft"]?.bool ?? false
        pull.isMerged = fields.value["merged_at"]?.string != nil
        pull.mergeStatus = try fields.optionalText("mergeable_state")
        pull.reviewers =
            fields.texts("requested_reviewers", member: "login")
            + fields.texts("requested_teams", member: "slug")
        // Counts that cannot be read are unknown; they are no reason to lose the rest.
        pull.additions = try? fields.integer("additions")
        pull.deletions = try? fields.integer("deletions")
        pull.changedFileCount = try? fields.integer("changed_files")
        return pull
    }

    static func file(_ fields: FieldReader) throws(FieldError) -> FileChange {
        let status = try fields.text("status")
        return FileChange(
            path: try fields.text("filename"),
            previousPath: try fields.optionalText("previous_filename"),
            status: FileChange.Status(rawValue: status) ?? .modified,
            additions: try fields.integer("additions"),
            deletions: try fields.integer("deletions"),
            patch: try fields.optionalText("patch")
        )
    }

    static func review(_ fields: FieldReader) throws(FieldError) -> Review {
        Review(
            externalID: try fields.identifier("id"),
            author: fields.optionalText("user", "login"),
            verdict: Review.Verdict(rawValue: try fields.text("state").lowercased()) ?? .commented,
            body: try fields.optionalText("body") ?? "",
            submittedAt: fields.value["submitted_at"]?.string.flatMap { Timestamp(parsing: $0) }
        )
    }

    static func reviewComment(_ fields: FieldReader) throws(FieldError) -> PullRequestComment {
        let comment = Comment(
            externalID: try fields.identifier("id"),
            author: fields.optionalText("user", "login"),
            body: try fields.optionalText("body") ?? "",
            createdAt: try fields.instant("created_at"),
            updatedAt: try fields.instant("updated_at")
        )
        let side = fields.value["side"]?.string.flatMap { DiffSide(rawValue: $0) }
        return PullRequestComment(
            comment: comment,
            place: PullRequestComment.Place(
                path: try fields.text("path"),
                line: fields.value["line"]?.integer.flatMap { Int(exactly: $0) },
                side: side ?? .right
            ),
            replyTo: fields.value["in_reply_to_id"]?.integer.map { String($0) }
        )
    }

    /// A check run, or the older commit status.
    static func check(_ fields: FieldReader) throws(FieldError) -> Checks.Check {
        let name = try fields.optionalText("name")
        let context = try fields.optionalText("context")
        guard let name = name ?? context else {
            throw FieldError(field: "name", problem: "is missing")
        }
        let page = try fields.optionalText("html_url")
        let target = try fields.optionalText("target_url")
        let word =
            fields.value["conclusion"]?.string ?? fields.value["state"]?.string ?? "pending"
        let state: Checks.State =
            switch word {
            case "success", "neutral", "skipped": .success
            case "pending", "queued", "in_progress", "stale": .pending
            default: .failure
            }
        return Checks.Check(
            name: name,
            state: state,
            url: page ?? target
        )
    }
}
