@testable import API

/// All places of a gate that are free, taken until they are given back.
struct TakenPlaces {
    private let ends: [Gate]
    private let working: [Task<Void, any Error>]

    init(of gate: WorkGate) async throws {
        var (ends, working) = ([Gate](), [Task<Void, any Error>]())
        for _ in 0..<gate.freeCount {
            let (isIn, end) = (Gate(), Gate())
            working.append(
                Task {
                    try await gate.run {
                        isIn.open()
                        try await end.pass()
                    }
                }
            )
            try await isIn.pass()
            ends.append(end)
        }
        self.ends = ends
        self.working = working
    }

    /// Gives them back.
    func giveBack() async throws {
        for end in ends { end.open() }
        for task in working { try await task.value }
    }
}
