package import Gateway
package import HTTPClient
import MCP
import Store

extension Installation {
    /// Calls of agents wait beside each other; each may have a stream of its own.
    private static let transfersPerHost = 256
    private static let transfers = 1_024

    /// The other MCP servers of the account, and the way to them, by `transport`, the process's
    /// client for them; by a new one when it is nil.
    package func upstreamDesk(
        transport: (any HTTPStreamTransport)? = nil
    ) throws -> UpstreamDesk {
        // Networks and variables are the operator's: accounts that strangers made get none.
        UpstreamDesk(
            UpstreamDesk.Means(
                store: store,
                settings: UpstreamSettings(
                    environment: settings.environment,
                    allowed: isOwn ? settings.upstreams.allowed : [],
                    variables: isOwn ? settings.upstreams.variables : [],
                    version: Self.version
                ),
                transport: try transport ?? upstreamTransport(),
                reserved: try builtInTools().names,
                audit: { try auditWriter() },
                box: { try secretBox() }
            )
        )
    }

    /// An HTTP client for many streams beside each other.
    package func upstreamTransport() throws -> any HTTPStreamTransport {
        var configuration = CurlClient.Configuration(
            version: Self.version,
            environment: settings.environment
        )
        configuration.maximumTransfersPerHost = Self.transfersPerHost
        configuration.maximumTransfers = Self.transfers
        return try CurlClient(configuration: configuration)
    }
}
