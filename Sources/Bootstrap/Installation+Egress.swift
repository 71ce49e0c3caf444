package import Domain
package import HTTPClient
import Store

extension Installation {
    /// What an operator can do about a tracker that is refused for its address; nil for accounts
    /// that strangers may have made, whom the operator's networks are none of.
    package var trackerCure: String? {
        guard isOwn else { return nil }
        return "to allow it, name its host or network in PRELOOP_TRACKER_ALLOW of the server, or "
            + "give the address by `preloop trackers` on the server's machine"
    }

    /// What vets trackers' addresses that came over the server.
    ///
    /// Networks that are allowed are the operator's: accounts that strangers made get none.
    package var trackerEgress: EgressGuard {
        EgressGuard(allowing: isOwn ? settings.allowedTrackers : [])
    }

    /// How a tracker is reached by `transport`.
    ///
    /// Whoever runs commands on the machine knows the network it is in: what they add may be
    /// anywhere. An address that came over the server, and any of another account, is on the public
    /// Internet or where the operator allows it. A tracker without an address is the vendor's own.
    package func guarded(
        _ transport: any HTTPTransport,
        for tracker: Tracker
    ) -> any HTTPTransport {
        guard !isOwn || tracker.isVetted && !tracker.url.isEmpty else { return transport }
        return GuardedTransport(transport, by: trackerEgress, cure: trackerCure)
    }

    /// Whether this is the account of whoever runs the installation, and none that a stranger may
    /// have made: networks, programs, variables and models that cost are the operator's.
    var isOwn: Bool { store.account == AccountTable.defaultID }
}
