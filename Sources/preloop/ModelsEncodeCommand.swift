import ArgumentParser
import Bootstrap
import Domain
import Embeddings

/// `preloop models encode --jsonl`: texts in, token ids and vectors out, line by line.
struct ModelsEncodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode",
        abstract: "Encode lines of {\"text\":…} from standard input.",
        discussion: """
            Writes a line of {"ids":[…],"vector":[…]} for each, in order. Needs no installation \
            but the model; a provider tells no token ids. Encodes in float32 unless \
            PRELOOP_EMBEDDING_PRECISION says otherwise.
            """
    )

    /// Lines encoded together when they are there together.
    private static let batchSize = 128

    @Flag(help: "One JSON object a line; the only form there is.")
    var jsonl = false

    func validate() throws {
        guard jsonl else { throw ValidationError("say --jsonl") }
    }

    func run() async throws {
        let settings = try Settings.read()
        let embedder = try await attempt("cannot load the model") {
            // Whoever compares vectors wants the reference.
            try await Installation.embedder(settings, precision: .float32)
        }
        var input = InputLines()
        var output = Output()
        var number = 0
        while true {
            let lines = try await attempt("cannot read standard input") {
                try input.next(Self.batchSize)
            }
            guard !lines.isEmpty else { break }
            let (texts, refusal) = texts(of: lines, after: number)
            number += lines.count
            // A batch that begins with the line that is refused has no texts.
            if !texts.isEmpty {
                let vectors = try await attempt("the texts cannot be encoded") {
                    try await embedder.encode(texts)
                }
                for (index, text) in texts.enumerated() {
                    try output.line(line(text, vector: vectors[index], embedder: embedder))
                }
                try output.flush()
            }
            if let refusal { throw refusal }
        }
    }

    /// The texts before the first line that has none, and what is wrong with that one.
    private func texts(
        of lines: [[UInt8]],
        after count: Int
    ) -> (texts: [String], refusal: CommandFailure?) {
        var texts: [String] = []
        for line in lines {
            do throws(CommandFailure) {
                texts.append(try text(line, line: count + texts.count + 1))
            } catch {
                return (texts, error)
            }
        }
        return (texts, nil)
    }

    private func text(_ line: [UInt8], line number: Int) throws(CommandFailure) -> String {
        let value = try? JSONParser.parse(line)
        guard let text = value?["text"]?.string else {
            throw CommandFailure(
                .usage,
                "line \(number) is not an object with a text `text`",
                hint: "write one line of {\"text\":\"…\"} for each text"
            )
        }
        return text
    }

    private func line(
        _ text: String,
        vector: [Float],
        embedder: any Embedder
    ) -> JSONValue {
        let ids = (embedder as? LocalEmbedder)?.tokenIDs(for: text) ?? []
        return [
            "ids": .array(ids.map { .integer(Int64($0)) }),
            // The shortest decimal that reads back as the same Float.
            "vector": .array(vector.map { .double(Double("\($0)") ?? Double($0)) }),
        ]
    }
}
