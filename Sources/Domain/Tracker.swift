/// A configured tracker, without its credential.
package struct Tracker: Sendable, Equatable {
    /// Its row.
    package var id: TrackerID
    /// Which service it is.
    package var kind: TrackerKind
    /// Whose machine it runs on.
    package var deployment: TrackerDeployment
    /// The operator's name for it, unique in the account.
    package var name: String
    /// The base URL of the service, without a final slash.
    package var url: String
    /// The user the token belongs to, where the service wants both (Jira Cloud); else nil.
    package var userName: String?
    /// What the last check of the token said.
    package var status: TrackerStatus
    /// Why it is invalid, or what a valid token cannot do; nil when there is nothing to say.
    package var statusDetail: String?
    /// When the token was last checked; nil before the first time.
    package var checkedAt: Timestamp?
    /// When it was added.
    package var createdAt: Timestamp
    /// Whether its address was given over the server, so that each request there is vetted; false
    /// for what was given on the machine itself.
    package var isVetted: Bool

    /// All properties, in their order.
    package init(
        id: TrackerID,
        kind: TrackerKind,
        deployment: TrackerDeployment,
        name: String,
        url: String,
        userName: String? = nil,
        status: TrackerStatus = .new,
        statusDetail: String? = nil,
        checkedAt: Timestamp? = nil,
        createdAt: Timestamp,
        isVetted: Bool = false
    ) {
        self.id = id
        self.kind = kind
        self.deployment = deployment
        self.name = name
        self.url = url
        self.userName = userName
        self.status = status
        self.statusDetail = statusDetail
        self.checkedAt = checkedAt
        self.createdAt = createdAt
        self.isVetted = isVetted
    }
}

extension Tracker {
    /// The URL of the tracker that imported files belong to.
    package static let importURL = "import:"

    /// Whether there is a service behind it that can be read; not so for imported files.
    package var isRemote: Bool { !haveEqualBytes(url, Self.importURL) }
}

/// What the last check of a tracker's token said.
package enum TrackerStatus: String, Sendable, CaseIterable {
    /// Not checked yet.
    case new
    case valid
    /// The service refuses the token.
    case invalid
}
