import ArgumentParser
import Bootstrap

/// `preloop`: the operator's and the searcher's program.
struct PreloopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preloop",
        abstract: "Search issues of GitHub, GitLab and Jira by meaning, and find duplicates.",
        discussion: """
            The installation is in $PRELOOP_HOME (default ~/.preloop); `preloop-sync scan all` \
            fills it.

            Exit status: 0 ok, 1 error, 2 usage, 4 authentication, 5 not found, 6 not as it \
            was written (`audit verify`), 7 partial, 75 try later, 130 interrupted.
            """,
        version: Installation.version,
        subcommands: [
            InitCommand.self, TrackersCommand.self, SearchCommand.self, SimilarCommand.self,
            DuplicatesCommand.self, ModelsCommand.self, IndexCommand.self, ExportCommand.self,
            DoctorCommand.self, DBCommand.self, CELCommand.self, ServersCommand.self,
            PolicyCommand.self, MCPCommand.self, ToolsCommand.self, ApprovalsCommand.self,
            AuditCommand.self, ServeCommand.self, UsersCommand.self, KeysCommand.self,
            LoginCommand.self, LogoutCommand.self, StatusCommand.self, APICommand.self,
        ]
    )
}
