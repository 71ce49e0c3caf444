import Domain
import Trackers

/// Pull requests in answers.
enum PullRequestAnswer {
    static let schema = Schema.answer([
        "pull_request": Schema.writtenIssue,
        "source_branch": Schema.string, "target_branch": Schema.string,
        "head_revision": Schema.string, "draft": Schema.boolean, "merged": Schema.boolean,
        "merge_status": Schema.optionalString, "reviewers": Schema.list(of: Schema.string),
        "additions": Schema.optionalInteger, "deletions": Schema.optionalInteger,
        "changed_files": Schema.optionalInteger,
        "files": Schema.list(
            of: Schema.answer([
                "path": Schema.string, "previous_path": Schema.optionalString,
                "status": Schema.string, "additions": Schema.count, "deletions": Schema.count,
                "patch": Schema.optionalString,
            ])
        ),
        "comments": Schema.list(of: Schema.writtenComment),
        "reviews": Schema.list(
            of: Schema.answer([
                "author": Schema.optionalString, "verdict": Schema.string, "body": Schema.string,
                "submitted_at": Schema.optionalString,
            ])
        ),
        "checks": [
            "anyOf": [
                Schema.answer([
                    "state": Schema.string,
                    "checks": Schema.list(
                        of: Schema.answer([
                            "name": Schema.string, "state": Schema.string,
                            "url": Schema.optionalString,
                        ])
                    ),
                ]), ["type": "null"],
            ]
        ],
        "warnings": Schema.warnings,
    ])

    /// What patches and comments have of an answer, each.
    private static let half = AnswerRoom.message / 2

    static func json(
        _ pull: PullRequest,
        in place: TrackerDesk.Place,
        warnings: [String] = []
    ) -> JSONValue {
        var warnings = pull.warnings + warnings
        return [
            "pull_request": pull.issue.written(in: place),
            "source_branch": .string(pull.sourceBranch),
            "target_branch": .string(pull.targetBranch),
            "head_revision": .string(pull.headRevision), "draft": .bool(pull.isDraft),
            "merged": .bool(pull.isMerged), "merge_status": JSONValue(pull.mergeStatus),
            "reviewers": JSONValue(pull.reviewers),
            "additions": integer(pull.additions), "deletions": integer(pull.deletions),
            "changed_files": integer(pull.changedFileCount),
            "files": files(pull.files, &warnings),
            "comments": comments(pull.comments, of: pull.issue.key, &warnings),
            "reviews": .array(pull.reviews.map(json)),
            "checks": pull.checks.map(json) ?? .null,
            "warnings": JSONValue(warnings),
        ]
    }

    private static func integer(_ number: Int?) -> JSONValue {
        number.map { .integer(Int64($0)) } ?? .null
    }

    private static func files(_ files: [FileChange], _ warnings: inout [String]) -> JSONValue {
        var room = AnswerRoom(half)
        var left = 0
        let shown: [JSONValue] = files.map { file in
            var patch = file.patch
            if let text = patch, !room.takesWhole(text) {
                patch = nil
                left += 1
            }
            return [
                "path": .string(file.path), "previous_path": JSONValue(file.previousPath),
                "status": .string(file.status.rawValue),
                "additions": .integer(Int64(file.additions)),
                "deletions": .integer(Int64(file.deletions)), "patch": JSONValue(patch),
            ]
        }
        if left > 0 { warnings.append("the patches of \(left) files are left out: too much text") }
        return .array(shown)
    }

    /// The latest ones matter most: they get what room there is.
    private static func comments(
        _ comments: [PullRequestComment],
        of key: String,
        _ warnings: inout [String]
    ) -> JSONValue {
        var room = AnswerRoom(half)
        var shown: [JSONValue] = []
        for remark in comments.reversed() {
            room.take(AnswerRoom.comment)
            let body = prefix(of: remark.comment.body, bytes: TrackerDesk.shownBytes)
            guard room.takesWhole(body) else { break }
            shown.append(CommentAnswer.json(remark, of: key))
        }
        let left = comments.count - shown.count
        if left > 0 { warnings.append("\(left) earlier comments are left out: too much text") }
        return .array(shown.reversed())
    }

    private static func json(_ review: Review) -> JSONValue {
        [
            "author": JSONValue(review.author), "verdict": .string(review.verdict.rawValue),
            "body": .string(prefix(of: review.body, bytes: TrackerDesk.shownBytes)),
            "submitted_at": JSONValue(review.submittedAt?.iso8601),
        ]
    }

    private static func json(_ checks: Checks) -> JSONValue {
        let rows: [JSONValue] = checks.checks.map { check in
            [
                "name": .string(check.name), "state": .string(check.state.rawValue),
                "url": JSONValue(check.url),
            ]
        }
        return ["state": .string(checks.state.rawValue), "checks": .array(rows)]
    }
}
