import Synchronization

/// Programs of one environment by their source, so that a rule is compiled once.
package final class CELProgramCache: Sendable {
    /// The environment of all programs.
    package let environment: CELEnvironment
    private let capacity: Int
    private let programs = Mutex<[ByteText: CELProgram]>([:])

    /// Policies have tens of expressions; a program takes some KB.
    package static let standardCapacity = 1_024

    /// An empty cache.
    package init(
        _ environment: CELEnvironment,
        capacity: Int = CELProgramCache.standardCapacity
    ) {
        self.environment = environment
        self.capacity = capacity
    }

    /// How many programs are held.
    package var count: Int { programs.withLock { $0.count } }

    /// The program of a source, compiled when it is not held.
    ///
    /// - Throws: ``CompilationError``; failures are not held.
    package func program(_ source: String) throws(CompilationError) -> CELProgram {
        let key = ByteText(source)
        if let known = programs.withLock({ $0[key] }) { return known }
        let program = try CELProgram.compile(source, in: environment)
        programs.withLock { programs in
            // Starting anew is rare, and simpler than remembering who was used when.
            if programs.count >= capacity { programs.removeAll(keepingCapacity: true) }
            programs[key] = program
        }
        return program
    }
}
