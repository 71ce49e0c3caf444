import Domain

extension Schema {
    // MARK: - Parameters

    private static let maximumTextLength = BuiltInTools.maximumTextCharacters

    /// A text in Markdown, which may be empty.
    static func markdown(_ summary: String) -> JSONValue {
        [
            "type": "string", "maxLength": .integer(Int64(maximumTextLength)),
            "description": .string(summary),
        ]
    }

    /// A text in Markdown that says something.
    static func words(_ summary: String) -> JSONValue {
        [
            "type": "string", "minLength": 1, "maxLength": .integer(Int64(maximumTextLength)),
            "description": .string(summary),
        ]
    }

    /// A text that may be empty, which means nothing or nobody.
    static func emptiable(_ summary: String) -> JSONValue {
        ["type": "string", "maxLength": 1_000, "description": .string(summary)]
    }

    /// Yes, no, or as it is.
    static func wish(_ summary: String) -> JSONValue {
        ["type": "boolean", "description": .string(summary)]
    }

    /// A line of a file; no file that is reviewed has ten million.
    static func line(_ summary: String) -> JSONValue {
        [
            "type": "integer", "description": .string(summary), "minimum": 1,
            "maximum": 10_000_000,
        ]
    }

    /// The old file or the new one.
    static let side = choice(
        "The old file (LEFT) or the new one (RIGHT).",
        ["LEFT", "RIGHT"],
        default: "RIGHT"
    )
    /// Where something new goes.
    static let writableProject = text(
        "The project, by its path as list_projects shows it, or its URL."
    )
    /// The reference of a pull request.
    static let pullRequestReference = text(
        "The pull or merge request: its URL, owner/repo#1, group/project!1, or its number where "
            + "only one has it."
    )
    /// The reference of what is commented on.
    static let commentTarget = text(
        "The issue or pull request: its URL, its key such as PROJ-1, owner/repo#1 or "
            + "group/project!1."
    )

    // MARK: - Answers

    /// An issue as a tracker has it after a write.
    static let writtenIssue = answer([
        "id": string, "key": string, "kind": string, "title": string, "description": string,
        "state": string, "status": optionalString, "priority": optionalString,
        "type": optionalString, "assignees": list(of: string), "labels": list(of: string),
        "project": string, "tracker": string, "url": string, "updated_at": string,
    ])
    /// A comment as a tracker has it after a write.
    static let writtenComment = answer([
        "id": string, "target": string, "comment_type": string, "author": optionalString,
        "body": string, "created_at": string, "updated_at": string,
        "thread_id": optionalString, "in_reply_to": optionalString, "path": optionalString,
        "line": optionalInteger, "resolved": optionalBoolean,
    ])
    /// What the tracker left out without saying so, or could not be done besides.
    static let warnings = list(of: string)
    /// A whole number in an answer that may be missing.
    static let optionalInteger: JSONValue = ["type": ["integer", "null"]]
    /// A truth value in an answer that may be missing.
    static let optionalBoolean: JSONValue = ["type": ["boolean", "null"]]
}
