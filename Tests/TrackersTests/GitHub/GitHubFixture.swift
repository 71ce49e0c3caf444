import Domain
import TestSupport

@testable import Trackers

/// Rows as api.github.com shows them, made up for these tests.
enum GitHubFixture {
    static let project = RemoteProject(
        externalID: "7",
        path: "acme/tool",
        name: "tool",
        url: "https://github.com/acme/tool"
    )

    static let reference = IssueReference(
        externalID: "2001",
        kind: .issue,
        number: 1,
        key: "acme/tool#1"
    )

    static func issue(
        _ number: Int,
        updated: String = "2025-02-03T04:05:06Z",
        body: String = #""Fails on start.\r\n\r\nfixes #9""#
    ) -> String {
        """
        {"url":"https://api.github.com/repos/acme/tool/issues/\(number)",
        "repository_url":"https://api.github.com/repos/acme/tool",
        "html_url":"https://github.com/acme/tool/issues/\(number)","id":\(2000 + number),
        "node_id":"I_kwDO","number":\(number),"title":"Crash \(number)",
        "user":{"login":"ann","id":5,"type":"User"},
        "labels":[{"id":1,"name":"bug","color":"d73a4a"},{"id":2,"name":"priority: high"}],
        "state":"closed","state_reason":"not_planned","locked":false,
        "assignee":{"login":"bob","id":6},"assignees":[{"login":"bob","id":6}],"milestone":null,
        "comments":2,"created_at":"2025-01-02T03:04:05Z","updated_at":"\(updated)",
        "closed_at":"2025-02-03T04:05:06Z","author_association":"NONE","type":{"name":"Bug"},
        "body":\(body),"reactions":{"total_count":0}}
        """
    }

    static func pull(_ number: Int) -> String {
        """
        {"html_url":"https://github.com/acme/tool/pull/\(number)","id":\(2000 + number),
        "number":\(number),"title":"Mend it","user":null,"labels":[],"state":"closed",
        "assignees":[],"comments":0,"created_at":"2025-01-02T03:04:05Z",
        "updated_at":"2025-02-03T04:05:07Z","draft":false,"body":null,
        "pull_request":{"url":"https://api.github.com/repos/acme/tool/pulls/\(number)",
        "merged_at":"2025-02-03T04:05:07Z"}}
        """
    }

    static func comment(_ id: Int, issue: Int) -> String {
        """
        {"id":\(id),"issue_url":"https://api.github.com/repos/acme/tool/issues/\(issue)",
        "html_url":"https://github.com/acme/tool/issues/\(issue)#issuecomment-\(id)",
        "user":{"login":"bob"},"body":"Me too","created_at":"2025-01-03T00:00:00Z",
        "updated_at":"2025-01-04T00:00:00Z","author_association":"MEMBER"}
        """
    }

    static func repository(_ id: Int, name: String) -> String {
        """
        {"id":\(id),"name":"\(name)","full_name":"acme/\(name)","private":false,
        "owner":{"login":"acme","id":70,"type":"Organization"},
        "html_url":"https://github.com/acme/\(name)","has_issues":true}
        """
    }

    static let issues = "/repositories/7/issues"
}
