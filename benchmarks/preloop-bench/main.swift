import Glibc

// Measures one subject and prints one JSON line a measurement; each subject says what it needs.

let usage = """
    usage: preloop-bench encode MODEL-DIRECTORY
           preloop-bench vector-index DIRECTORY [n=N] [m=M] [construction=EF] [only=PART,…]
    """

/// Ends the program with a message on standard error.
func leave(_ message: String, status: Int32) -> Never {
    var line = message + "\n"
    _ = line.withUTF8 { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(status)
}

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch (arguments.first, arguments.count) {
    case ("encode", 2): try await benchmarkEncoding(modelPath: arguments[1])
    case ("vector-index", 2...):
        try VectorIndexBenchmark.run(arguments: Array(arguments.dropFirst()))
    default: leave(usage, status: EX_USAGE)
    }
} catch {
    leave("preloop-bench: \(error)", status: EXIT_FAILURE)
}
