import Domain

/// What a scan needs to know of a project.
struct GitLabProject: Sendable {
    var project: RemoteProject
    /// The group, subgroup or user it stands in.
    var group: RemoteOrganization
    var hasIssues: Bool
    var hasMergeRequests: Bool

    var hasItems: Bool { hasIssues || hasMergeRequests }

    init(_ fields: FieldReader) throws(FieldError) {
        guard let namespaceValue = fields.value["namespace"] else {
            throw FieldError(field: "namespace", problem: "is missing")
        }
        let namespace = try FieldReader(namespaceValue)
        project = RemoteProject(
            externalID: try fields.identifier("id"),
            path: try fields.text("path_with_namespace"),
            name: try fields.text("name"),
            url: try fields.optionalText("web_url") ?? ""
        )
        group = RemoteOrganization(
            externalID: try namespace.identifier("id"),
            path: try namespace.text("full_path"),
            name: try namespace.text("name")
        )
        // Absent in cut-down answers; then the lists themselves will tell.
        hasIssues = fields.value["issues_enabled"]?.bool ?? true
        hasMergeRequests = fields.value["merge_requests_enabled"]?.bool ?? true
    }
}
