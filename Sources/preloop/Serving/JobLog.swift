import Domain
import Logging
import Store

extension JobWorker.Event {
    /// Tells only what went wrong or is left, in these words where it is the work itself: what went
    /// well is in the log of requests, or in the store.
    func tell(_ logger: Logger, failing words: Logger.Message) {
        switch self {
        case .ended(let claim, .failed(let error, _)), .ended(let claim, .hopeless(let error)):
            logger.warning(
                words,
                metadata: ["job": .string(claim.job.id), "reason": .string("\(error)")]
            )
        case .ended(let claim, .givenBack(let reason?, let until))
        where claim.job.lastError != reason:
            // Once for each reason, however often it is given back.
            logger.warning(
                "a job is left until later, or to another process",
                metadata: [
                    "job": .string(claim.job.id), "kind": .string(claim.job.kind.name),
                    "reason": .string(reason), "until": .string(until.iso8601),
                ]
            )
        case .storeFailed(let error):
            logger.error("the store refuses", metadata: ["reason": .string("\(error)")])
        case .began, .ended, .lost: break
        }
    }
}
