import ArgumentParser
import Bootstrap

/// `--recall`, for commands that search vectors.
struct RecallOption: ParsableArguments {
    @Option(
        help: """
            Which share of the nearest texts the index shall find on average, 0.5 to 1; more takes \
            longer. PRELOOP_RECALL, or 0.99.
            """
    )
    var recall: Double?

    func validate() throws {
        guard let recall else { return }
        guard Settings.recallRange.contains(recall) else {
            throw ValidationError("--recall is from 0.5 to 1")
        }
    }
}
