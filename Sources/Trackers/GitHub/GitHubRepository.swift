import Domain

/// What a scan needs to know of a repository.
struct GitHubRepository: Sendable {
    var project: RemoteProject
    var owner: RemoteOrganization
    /// With issues switched off GitHub answers 410 to every issue list, pull requests included.
    var hasIssues: Bool

    init(_ fields: FieldReader) throws(FieldError) {
        guard let ownerValue = fields.value["owner"] else {
            throw FieldError(field: "owner", problem: "is missing")
        }
        let owner = try FieldReader(ownerValue)
        let login = try owner.text("login")
        project = RemoteProject(
            externalID: try fields.identifier("id"),
            path: try fields.text("full_name"),
            name: try fields.text("name"),
            url: try fields.optionalText("html_url") ?? ""
        )
        self.owner = RemoteOrganization(
            externalID: try owner.identifier("id"),
            path: login,
            name: login
        )
        hasIssues = fields.value["has_issues"]?.bool ?? true
    }
}
