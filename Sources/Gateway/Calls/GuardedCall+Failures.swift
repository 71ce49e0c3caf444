import MCP
import Store

extension GuardedCall {
    /// What the caller and the record hear of a call that threw.
    static func failed(
        _ entry: ToolSet.Entry,
        _ error: any Error
    ) -> (ToolResult, ToolCallTable.Outcome) {
        switch error {
        // The server of a tool answers in the protocol's own terms: so does its call.
        case UpstreamError.refused(let refusal): return (.failure(refusal), .failed)
        // It was sent: what a caller has to know is the same as when our own limit ends a call.
        case UpstreamError.timedOut(let seconds):
            let text = "The server has not answered within \(seconds) seconds. "
            let advice = entry.advice("Try again later, or ask for less at a time.")
            return (.failure(text + advice, .timedOut), .timedOut)
        default: return (ToolFailure(cause: error).result, .failed)
        }
    }
}
