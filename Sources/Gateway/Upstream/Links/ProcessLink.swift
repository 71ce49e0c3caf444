import Domain
import MCP

/// A program of this machine: one message a line, over standard input and output.
actor ProcessLink: UpstreamLink {
    private let command: [String]
    private let environment: [String: String]
    /// Values that must not be repeated to anybody.
    private let secrets: [String]
    private let parser: MessageParser
    private var program: ChildProgram?
    private var reading: Task<Void, Never>?
    private var isClosed = false

    init(
        command: [String],
        environment: [String: String],
        secrets: [String],
        parser: MessageParser
    ) {
        self.command = command
        self.environment = environment
        self.secrets = secrets
        self.parser = parser
    }

    func start(deliver: @escaping @Sendable (LinkEvent) async -> Void) async throws(UpstreamError) {
        let program = try ChildProgram(
            command,
            environment: environment,
            secrets: secrets,
            lineLimit: parser.limits.bytes
        )
        self.program = program
        let parser = parser
        reading = Task {
            await program.read { line in await Self.take(line, parser, deliver) }
            // Its output is over: it has ended, or has no use any more.
            await program.stop()
            let status = await program.exitText()
            await deliver(.closed(.ended(status: status, errors: program.errorText)))
        }
    }

    private static func take(
        _ line: LineFraming.Line,
        _ parser: MessageParser,
        _ deliver: @Sendable (LinkEvent) async -> Void
    ) async {
        switch line {
        case .tooLong:
            let reason = "a message has at most \(parser.limits.bytes) bytes"
            let failure = MessageParser.Failure(id: nil, error: .invalidRequest(reason))
            await deliver(.malformed(failure, during: nil))
        case .message(let bytes):
            do throws(MessageParser.Failure) {
                await deliver(.incoming(try parser.parse(bytes), during: nil))
            } catch {
                await deliver(.malformed(error, during: nil))
            }
        }
    }

    func begun(_ profile: ServerProfile) async {}

    func send(_ message: Message, _ context: LinkContext) async throws(UpstreamError) {
        guard let program, !isClosed else { throw .sessionEnded }
        let line = message.json.serialized() + [UInt8(ascii: "\n")]
        guard await program.write(line) else {
            throw .lost(reason: "the program does not read its input any more")
        }
    }

    func stop(_ call: ClientSession.CallID) async {}

    func close() async {
        guard !isClosed else { return }
        isClosed = true
        await program?.stop()
    }
}
