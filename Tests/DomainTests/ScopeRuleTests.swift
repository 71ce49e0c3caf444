import Domain
import Testing

struct ScopeRuleTests {
    @Test(arguments: [
        ("acme", "acme", "acme/web", true),
        ("ACME", "acme", "acme/web", true),
        ("acme", "acme-labs", "acme-labs/web", false),
        ("acme*", "acme-labs", "acme-labs/web", true),
        ("acme/web", "acme", "acme/web", true),
        ("acme/we?", "acme", "acme/web", true),
        ("acme/*", "acme", "acme/web", true),
        ("*/web", "acme", "acme/web", true),
        ("*", "acme", "acme/web", true),
        ("web", "acme", "acme/web", false),
        ("group", "group/sub", "group/sub/project", true),
        ("group/*", "group/sub", "group/sub/project", true),
        ("group/*/project", "group/sub", "group/sub/project", true),
        ("group/**ject", "group/sub", "group/sub/project", true),
        ("group/*ject", "group/sub", "group/sub/project", false),
        ("KEY", "site.atlassian.net", "KEY", true),
        ("site.atlassian.net/KEY", "site.atlassian.net", "KEY", true),
        ("site.atlassian.net", "site.atlassian.net", "KEY", true),
        ("KE", "site.atlassian.net", "KEY", false),
        ("", "acme", "acme/web", false),
    ])
    func `a pattern matches a project or what it lies in`(
        pattern: String,
        organization: String,
        project: String,
        expected: Bool
    ) {
        let rule = ScopeRule(action: .include, pattern: pattern)
        #expect(rule.matches(organization: organization, project: project) == expected)
    }

    @Test func `without rules everything is read`() {
        #expect(Scope().includes(organization: "acme", project: "acme/web"))
    }

    @Test func `an exclusion wins wherever it stands`() {
        let include = ScopeRule(action: .include, pattern: "acme")
        let exclude = ScopeRule(action: .exclude, pattern: "acme/old-*")
        for rules in [[include, exclude], [exclude, include]] {
            #expect(Scope(rules).includes(organization: "acme", project: "acme/web"))
            #expect(!Scope(rules).includes(organization: "acme", project: "acme/old-web"))
            #expect(!Scope(rules).includes(organization: "other", project: "other/web"))
        }
        #expect(Scope([exclude]).includes(organization: "other", project: "other/web"))
    }

    @Test func `an organisation is skipped only when all of it is excluded`() {
        let rules = ["acme/old-*", "labs"].map { ScopeRule(action: .exclude, pattern: $0) }
        #expect(!Scope(rules).excludes(organization: "acme"))
        #expect(Scope(rules).excludes(organization: "labs"))
    }

    @Test func `a pattern of many stars is matched in time`() {
        let pattern = GlobPattern(String(repeating: "*a", count: 60) + "b")
        let path = Array(repeating: UInt8(ascii: "a"), count: 200)
        #expect(!pattern.matches(path[...]))
    }
}
