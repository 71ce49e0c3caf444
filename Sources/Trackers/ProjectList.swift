/// The projects of an organisation, with the rows that are none as far as can be told.
package struct ProjectList: Sendable, Equatable {
    package var projects: [RemoteProject]
    /// Rows of the service's list that could not be read, told once each.
    package var unreadable: [UnreadableProject]

    package init(_ projects: [RemoteProject] = [], unreadable: [UnreadableProject] = []) {
        self.projects = projects
        self.unreadable = unreadable
    }
}

extension ProjectList: RandomAccessCollection {
    /// The first project's place.
    package var startIndex: Int { projects.startIndex }

    /// The place behind the last project.
    package var endIndex: Int { projects.endIndex }

    /// A project by its place in the service's order.
    package subscript(position: Int) -> RemoteProject { projects[position] }
}

/// A row in a list of projects that is not what it should be: the project cannot be scanned, and an
/// operator must hear of it.
package struct UnreadableProject: Error, Sendable, Equatable {
    /// Its identity as far as it could be read.
    package var externalID: String?
    /// Its path as far as it could be read.
    package var path: String?
    /// Which field is wrong and how.
    package var reason: String

    package init(externalID: String?, path: String?, reason: String) {
        self.externalID = externalID
        self.path = path
        self.reason = reason
    }
}

extension UnreadableProject: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        let name = path ?? externalID.map { "with the identifier \($0)" }
        return "the project \(name ?? "without a name") in the tracker's list cannot be read: "
            + reason
    }
}
