import Bootstrap

/// What failed for single accounts, while a command went on with the next one.
struct AccountFailures {
    private var failures: [CommandFailure] = []

    /// Notes what failed for an account; `title` names another one than the installation's own.
    ///
    /// - Throws: The failure itself when it says that everything is to stop.
    mutating func note(_ failure: CommandFailure, of title: String?) throws(CommandFailure) {
        guard failure.status != .interrupted else { throw failure }
        var failure = failure
        if let title { failure.what = "\(title): \(failure.what)" }
        failures.append(failure)
    }

    /// Tells of all but the worst, and throws that one, by which the program ends; does nothing
    /// when there is none.
    func throwWorst() throws(CommandFailure) {
        // What is over soon is not as bad as what is not.
        let place = failures.firstIndex { $0.status != .tryLater } ?? failures.startIndex
        guard failures.indices.contains(place) else { return }
        for index in failures.indices where index != place {
            standardError(failures[index].text)
        }
        throw failures[place]
    }
}
