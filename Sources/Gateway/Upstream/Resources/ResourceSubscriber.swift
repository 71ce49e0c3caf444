/// Who hears of changes of resources: one for each session of a client, and for each of its
/// streams of notifications.
///
/// Made by a transport and ended with what it was made for (``GuardedCall/end(_:)``).
package final class ResourceSubscriber: Sendable {
    /// Changes that wait for a client that does not read: more tell it nothing new.
    private static let maximumWaiting = 256

    /// The resources that have changed, by their URIs; over when the subscriber is ended.
    package let updates: AsyncStream<String>
    private let continuation: AsyncStream<String>.Continuation

    package init() {
        (updates, continuation) = AsyncStream.makeStream(
            of: String.self,
            bufferingPolicy: .bufferingNewest(Self.maximumWaiting)
        )
    }

    /// Tells of a change.
    func tell(_ uri: String) { continuation.yield(uri) }

    /// Tells that nothing more will come.
    func finish() { continuation.finish() }
}
