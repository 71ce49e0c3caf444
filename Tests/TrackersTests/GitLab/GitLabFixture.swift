import Domain

@testable import Trackers

/// Rows as gitlab.com shows them, made up for these tests.
enum GitLabFixture {
    static let project = RemoteProject(
        externalID: "7",
        path: "acme/sub/tool",
        name: "tool",
        url: "https://gitlab.com/acme/sub/tool"
    )

    static let reference = IssueReference(
        externalID: "2001",
        kind: .issue,
        number: 1,
        key: "acme/sub/tool#1"
    )

    static func issue(
        _ number: Int,
        updated: String = "2025-02-03T04:05:06.789Z",
        movedTo: String = "null"
    ) -> String {
        """
        {"id":\(2000 + number),"iid":\(number),"project_id":7,"title":"Crash \(number)",
        "description":"See below\\n\\nblocked by !3","state":"opened",
        "created_at":"2025-01-02T03:04:05.678Z","updated_at":"\(updated)","closed_at":null,
        "labels":["bug","priority::high"],"milestone":null,
        "assignees":[{"id":6,"username":"bob"}],"author":{"id":5,"username":"ann"},
        "type":"ISSUE","issue_type":"incident","user_notes_count":2,"upvotes":0,
        "web_url":"https://gitlab.com/acme/sub/tool/-/issues/\(number)","moved_to_id":\(movedTo),
        "_links":{"self":"https://gitlab.com/api/v4/projects/7/issues/\(number)",
        "closed_as_duplicate_of":"https://gitlab.com/api/v4/projects/7/issues/99"}}
        """
    }

    static func request(_ number: Int) -> String {
        """
        {"id":\(3000 + number),"iid":\(number),"project_id":7,"title":"Mend it",
        "description":null,"state":"opened","created_at":"2025-01-02T03:04:05.678Z",
        "updated_at":"2025-02-03T04:05:07.000Z","labels":[],"assignees":[],"draft":true,
        "author":{"id":9,"username":"ghost"},"user_notes_count":0,
        "web_url":"https://gitlab.com/acme/sub/tool/-/merge_requests/\(number)"}
        """
    }

    static func note(_ id: Int, system: Bool = false, type: String = "null") -> String {
        """
        {"id":\(id),"type":\(type),"body":"Me too","author":{"id":6,"username":"bob"},
        "created_at":"2025-01-03T00:00:00.000Z","updated_at":"2025-01-04T00:00:00.000Z",
        "system":\(system),"noteable_type":"Issue","noteable_iid":1}
        """
    }

    static func row(_ id: Int, name: String) -> String {
        """
        {"id":\(id),"name":"\(name)","path_with_namespace":"acme/sub/\(name)",
        "web_url":"https://gitlab.com/acme/sub/\(name)","issues_enabled":true,
        "namespace":{"id":70,"name":"Sub","full_path":"acme/sub","kind":"group"}}
        """
    }

    static let base = "/api/v4/projects/7"
    static let issues = "\(base)/issues"
    static let requests = "\(base)/merge_requests"
}
