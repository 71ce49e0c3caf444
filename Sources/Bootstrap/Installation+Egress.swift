package import HTTPClient
import Store

extension Installation {
    /// How the account's trackers are reached by `transport`.
    ///
    /// Whoever runs the installation knows the network it is in: trackers of its own account may be
    /// anywhere, as on the command line. Those of other accounts, which strangers may have made,
    /// are on the public Internet.
    package func guarded(_ transport: any HTTPTransport) -> any HTTPTransport {
        guard store.account != AccountTable.defaultID else { return transport }
        return GuardedTransport(transport, by: EgressGuard())
    }
}
