package import Gateway
package import HTTPClient
import MCP
import Store

extension Installation {
    /// Calls of agents wait beside each other; each may have a stream of its own.
    private static let transfersPerHost = 256
    private static let transfers = 1_024

    /// The other MCP servers of the account, and the way to them.
    ///
    /// - Parameter transport: The process's client for them; a new one when nil.
    package func upstreamDesk(
        transport: (any HTTPStreamTransport)? = nil
    ) throws -> UpstreamDesk {
        UpstreamDesk(
            UpstreamDesk.Means(
                store: store,
                settings: UpstreamSettings(
                    environment: settings.environment,
                    allowed: settings.upstreams.allowed,
                    variables: settings.upstreams.variables,
                    version: Self.version
                ),
                transport: try transport ?? upstreamTransport(),
                reserved: try builtInTools().names,
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
