import ArgumentParser

/// `preloop tools …`: the tools that agents call, for people and scripts.
struct ToolsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tools",
        abstract: "List, describe and call the tools that agents are given.",
        subcommands: [
            ToolsListCommand.self, ToolsDescribeCommand.self, ToolsCallCommand.self,
            ToolsMetricsCommand.self,
        ],
        defaultSubcommand: ToolsListCommand.self
    )
}
