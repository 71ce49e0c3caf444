/// A row's identity within its account: dense, positive, never reused.
///
/// The phantom parameter keeps an issue's identifier from being passed where a project's is meant.
/// The raw value is a 64-bit integer so that it is also the key of a vector in the index.
package struct Identifier<Entity>: Hashable, Sendable, Comparable {
    /// The number stored in the database, greater than zero for a stored row.
    package let rawValue: Int64

    /// Wraps a number that was read from the store.
    package init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// Orders identifiers by age, oldest first.
    package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension Identifier: CustomStringConvertible {
    /// The decimal number.
    package var description: String { String(rawValue) }
}

/// Names for the phantom parameters of ``Identifier``; they have no values.
package enum Entity {
    /// Tags ``AccountID``.
    package enum Account {}
    /// Tags ``TrackerID``.
    package enum Tracker {}
    /// Tags ``OrganizationID``.
    package enum Organization {}
    /// Tags ``ProjectID``.
    package enum Project {}
    /// Tags ``IssueID``.
    package enum Issue {}
    /// Tags ``CommentID``.
    package enum Comment {}
    /// Tags ``PassageID``.
    package enum Passage {}
    /// Tags ``EmbeddingModelID``.
    package enum EmbeddingModel {}
    /// Tags ``UserID``.
    package enum User {}
    /// Tags ``SessionID``.
    package enum Session {}
    /// Tags ``APIKeyID``.
    package enum APIKey {}
    /// Tags ``UpstreamServerID``.
    package enum UpstreamServer {}
}

/// An account, the unit of tenancy: every stored row belongs to exactly one.
package typealias AccountID = Identifier<Entity.Account>
/// A configured issue tracker of an account.
package typealias TrackerID = Identifier<Entity.Tracker>
/// A GitHub owner, GitLab group or Jira site.
package typealias OrganizationID = Identifier<Entity.Organization>
/// A repository, GitLab project or Jira project.
package typealias ProjectID = Identifier<Entity.Project>
/// An issue or pull request.
package typealias IssueID = Identifier<Entity.Issue>
/// A comment on an issue.
package typealias CommentID = Identifier<Entity.Comment>
/// One embedded window of an issue's or comment's text; the key of its vector in the index.
package typealias PassageID = Identifier<Entity.Passage>
/// An embedding model whose vectors are stored.
package typealias EmbeddingModelID = Identifier<Entity.EmbeddingModel>
/// Somebody who signs in.
package typealias UserID = Identifier<Entity.User>
/// One signing in, from its first token to its last refresh.
package typealias SessionID = Identifier<Entity.Session>
/// A key that a program uses on behalf of a user.
package typealias APIKeyID = Identifier<Entity.APIKey>
/// An MCP server behind the gateway.
package typealias UpstreamServerID = Identifier<Entity.UpstreamServer>
