import Logging
import Store

extension JobWorker.Event {
    /// Tells only what went wrong, in these words where it is the work itself: what went well is in
    /// the log of requests, or in the store.
    func tell(_ logger: Logger, failing words: Logger.Message) {
        switch self {
        case .ended(let claim, .failed(let error, _)), .ended(let claim, .hopeless(let error)):
            logger.warning(
                words,
                metadata: ["job": .string(claim.job.id), "reason": .string("\(error)")]
            )
        case .storeFailed(let error):
            logger.error("the store refuses", metadata: ["reason": .string("\(error)")])
        case .began, .ended, .lost: break
        }
    }
}
