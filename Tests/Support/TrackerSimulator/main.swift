import Domain
import Glibc

// tracker-simulator SAMPLE.jsonl [PORT [WRITES.jsonl]]: serves the sample issues as GitHub
// (/github), GitLab (/gitlab) and Jira Cloud (/jira) on 127.0.0.1, and prints `listening on PORT`
// when it is ready. What is written to them is kept until it ends, or in the file of writes for the
// next time.

func readFile(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "rb") else {
        throw SimulatorError(message: "cannot read \(path)")
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&chunk, 1, chunk.count, file)
        guard count > 0 else { return bytes }
        bytes += chunk[..<count]
    }
}

func write(to descriptor: Int32, _ text: String) {
    _ = text.withCString { Glibc.write(descriptor, $0, strlen($0)) }
}

do {
    guard CommandLine.arguments.count >= 2 else {
        throw SimulatorError(message: "use: tracker-simulator SAMPLE.jsonl [PORT [WRITES.jsonl]]")
    }
    let world = SharedWorld(
        try World(jsonLines: readFile(CommandLine.arguments[1])),
        journal: CommandLine.arguments.count > 3 ? try Journal(path: CommandLine.arguments[3]) : nil
    )
    let wanted = CommandLine.arguments.count > 2 ? UInt16(CommandLine.arguments[2]) ?? 0 : 0
    // The base URL in answers needs the port, which is known only after binding.
    let server = try HTTPServer(port: wanted) { request in
        let base = "http://" + (request.headers["host"] ?? "127.0.0.1")
        return world.answer(request, base: base)
    }
    // Not `print`: its buffer would keep the line from whoever waits for it.
    write(to: STDOUT_FILENO, "listening on \(server.port)\n")
    server.run()
} catch {
    write(to: STDERR_FILENO, "tracker-simulator: \(error)\n")
    exit(1)
}
