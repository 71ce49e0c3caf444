package import Domain
package import Embeddings
import Foundation
package import Gateway
import LinearAlgebra
package import Search
import Store

/// What the environment says, read once when a program starts.
///
/// - `PRELOOP_HOME`: the installation, that is database, key, models and indexes; `~/.preloop`.
/// - `DATABASE_URL`: the PostgreSQL database that holds the store, as libpq reads addresses; the
///   file `preloop.db` in `PRELOOP_HOME`. `postgresql://` takes all from the `PG*` variables, which
///   alone choose no server: they may be there for other programs.
/// - `PRELOOP_DATABASE_CONNECTIONS`: how many connections a process has to that database at most;
///   8, and one that listens.
/// - `PRELOOP_DATABASE_STATEMENT_TIMEOUT`, `PRELOOP_DATABASE_LOCK_TIMEOUT`: seconds after which a
///   statement, and the wait for a row that another one holds, are given up there; 120 and 20.
/// - `PRELOOP_VECTOR_BACKEND`: where vectors are searched: `memory` (the default), an index in each
///   process, or `pgvector`, by the PostgreSQL database of `DATABASE_URL`.
/// - `PRELOOP_RECALL`: which share of the nearest texts a search in memory finds on average, 0.5 to
///   1; 0.99. More takes longer.
/// - `PRELOOP_INDEX_CAPACITY`: how many windows of texts the index in memory takes at most;
///   16,777,216.
/// - `PRELOOP_INDEX_DENSITY`: `standard`, or `dense` for half as many links again: the fastest
///   search where a recall of 0.999 is asked for. The next scan makes the index anew.
/// - `PRELOOP_KERNELS`: which instructions may be used at most: `portable`, `avx2`, `avx512`,
///   `vnni`, `amx`; the best there are. Kernels read it themselves; here it is only checked.
/// - `SECRET_KEY`: seals stored credentials instead of the key file; 16 characters or more.
/// - `PRELOOP_URL`: the address under which trackers and people reach the server.
/// - `PRELOOP_EMBEDDING_PROVIDER`: `local` (the default), or `openai` for any service with the
///   OpenAI-compatible call.
/// - `PRELOOP_EMBEDDING_MODEL`: with `local` the directory of a sentence-transformers model, the
///   fetched one when not set; with `openai` the provider's name of the model,
///   `text-embedding-3-small` when not set.
/// - `PRELOOP_EMBEDDING_URL`: the provider's base URL, up to and with the version;
///   `https://api.openai.com/v1`.
/// - `PRELOOP_EMBEDDING_API_KEY`: the provider's key; local servers need none.
/// - `PRELOOP_EMBEDDING_DIMENSION`: the length of the provider's vectors; what it gives.
/// - `PRELOOP_EMBEDDING_REGISTERED`: `allow` lets accounts that strangers made use the provider,
///   too; without it they search by words alone.
/// - `PRELOOP_EMBEDDING_PRECISION`: in which numbers the local model runs, `float32`, `bfloat16` or
///   `int8`; the fastest of this machine for indexing, `float32` for `models encode`.
///
/// - `PRELOOP_AI_PROVIDER`: `openai` or `anthropic`: who judges and rewrites issues; nobody when
///   not set.
/// - `PRELOOP_AI_MODEL`: the provider's name of the model; needed with a provider.
/// - `PRELOOP_AI_URL`: the base URL with its version; `https://api.openai.com/v1` or
///   `https://api.anthropic.com/v1`.
/// - `PRELOOP_AI_API_KEY`: the provider's key; local servers need none.
///
/// - `PRELOOP_TRACKER_ALLOW`: networks (`10.0.0.0/8`), addresses and host names, separated by
///   commas, where trackers whose address is given over the server may be besides the public
///   Internet; what the command line adds may be anywhere.
///
/// - `PRELOOP_UPSTREAM_ALLOW`: networks (`10.0.0.0/8`), addresses and host names, separated by
///   commas, where other MCP servers and the channels of approvals may be besides the public
///   Internet.
/// - `PRELOOP_UPSTREAM_ENV`: names of variables, separated by commas, that `${NAME}` may stand for
///   in credentials of other MCP servers.
/// - `PRELOOP_UPSTREAM_PROGRAMS`: `allow` lets users of the server add programs of its machine as
///   MCP servers; the command line may always.
///
/// - `PRELOOP_AUDIT_DAYS`: how long the audit is kept; 365, and 0 for ever. Its older name is
///   `PRELOOP_CALLS_KEPT_DAYS`.
///
/// Proxies (`HTTPS_PROXY`, `NO_PROXY`…) and certificate authorities (`SSL_CERT_FILE`,
/// `SSL_CERT_DIR`, `CURL_CA_BUNDLE`) are those of curl.
package struct Settings: Sendable {
    /// The installation's directory, absolute.
    package var home: String
    /// The PostgreSQL database that holds the store; nil for the file in ``home``.
    ///
    /// It is read by libpq, which takes what it leaves open from its own `PG*` variables.
    package var databaseAddress: Secret?
    /// What is taken of its server at most.
    package var databaseLimits: DatabaseLimits
    /// Where vectors are searched; pgvector only with a ``databaseAddress``.
    package var vectorBackend: VectorBackend
    /// What was chosen for the index in memory.
    package var index: SearchIndex.Options
    /// Seals stored credentials instead of the key file.
    package var secretKey: Secret?
    /// The address under which the server is reached, without a final slash; nil when nobody has
    /// said.
    package var publicURL: String?
    /// Where vectors come from.
    package var embedding: EmbeddingSource
    /// In which numbers the local model runs; nil leaves it to what it is used for.
    package var precision: EncodingPrecision?
    /// Who judges and rewrites issues; nil for nobody.
    package var languageModel: LanguageModel.Configuration?
    /// How long the audit is kept; nil for ever.
    package var callRetention: Duration?
    /// Where trackers that are added over the server may be besides the public Internet.
    package var allowedTrackers: [String]
    /// Where other MCP servers may be, and what they may be given.
    package var upstreams: UpstreamRules
    /// All variables, for those that libraries define.
    package var environment: [String: String]

    /// Where vectors come from.
    package enum EmbeddingSource: Sendable {
        /// The encoder in this process; nil for the model that `preloop models fetch` brought.
        case local(directory: String?)
        case remote(RemoteModel)
    }

    /// An OpenAI-compatible provider.
    package struct RemoteModel: Sendable {
        /// The base URL, without a final slash.
        package var url: String
        /// The provider's name of the model.
        package var name: String
        /// Sent as a bearer token; local servers need none.
        package var apiKey: Secret?
        /// The length of the vectors; nil for what the provider gives.
        package var dimension: Int?
        /// Whether accounts that strangers made use it, too: it costs the operator.
        package var isForRegistered = false
    }

    /// Reads the variables of this process.
    package static func read() throws(CommandFailure) -> Settings {
        try Settings(environment: ProcessInfo.processInfo.environment)
    }

    /// Reads variables; an empty one counts as not set.
    package init(environment: [String: String]) throws(CommandFailure) {
        func value(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        self.environment = environment
        home = try Self.home(value("PRELOOP_HOME"), userHome: value("HOME"))
        databaseAddress = try Self.databaseAddress(value("DATABASE_URL"))
        databaseLimits = try DatabaseLimits(value)
        vectorBackend = try Self.vectorBackend(
            value("PRELOOP_VECTOR_BACKEND"),
            hasServer: databaseAddress != nil
        )
        try Self.checkKernels(value("PRELOOP_KERNELS"))
        index = try Self.index(value)
        secretKey = try Self.secretKey(value("SECRET_KEY"))
        publicURL = try value("PRELOOP_URL").map { (text) throws(CommandFailure) in
            try Self.url(
                text,
                variable: "PRELOOP_URL",
                example: "the address that trackers and people use, such as "
                    + "https://preloop.example.com"
            )
        }
        allowedTrackers = try AllowedAddresses.read(
            value("PRELOOP_TRACKER_ALLOW"),
            variable: "PRELOOP_TRACKER_ALLOW"
        )
        upstreams = try UpstreamRules(value)
        callRetention = try Self.callRetention(value)
        precision = try Self.precision(value("PRELOOP_EMBEDDING_PRECISION"))
        languageModel = try Self.languageModel(value)
        switch value("PRELOOP_EMBEDDING_PROVIDER") ?? "local" {
        case "local":
            embedding = .local(
                directory: value("PRELOOP_EMBEDDING_MODEL").map(Self.withoutFinalSlash)
            )
        case "openai":
            embedding = .remote(
                RemoteModel(
                    url: try Self.url(
                        value("PRELOOP_EMBEDDING_URL") ?? "https://api.openai.com/v1",
                        variable: "PRELOOP_EMBEDDING_URL"
                    ),
                    name: value("PRELOOP_EMBEDDING_MODEL") ?? "text-embedding-3-small",
                    apiKey: value("PRELOOP_EMBEDDING_API_KEY").map(Secret.init),
                    dimension: try Self.number(value, "PRELOOP_EMBEDDING_DIMENSION", 1...65_536),
                    isForRegistered: try Self.isAllowed(value, "PRELOOP_EMBEDDING_REGISTERED")
                )
            )
        case let other:
            throw CommandFailure(
                .usage,
                "`PRELOOP_EMBEDDING_PROVIDER` is `\(other)`",
                hint: "set it to `local` or `openai`"
            )
        }
    }

    private static func home(
        _ given: String?,
        userHome: String?
    ) throws(CommandFailure) -> String {
        guard let path = given ?? userHome.map({ $0 + "/.preloop" }) else {
            throw CommandFailure(
                .usage,
                "neither `PRELOOP_HOME` nor `HOME` is set",
                hint: "set `PRELOOP_HOME` to a directory for the installation"
            )
        }
        let absolute =
            path.utf8.first == UInt8(ascii: "/")
            ? path : FileManager.default.currentDirectoryPath + "/" + path
        return withoutFinalSlash(absolute)
    }

    private static func databaseAddress(_ text: String?) throws(CommandFailure) -> Secret? {
        guard let text else { return nil }
        guard PostgresConfiguration.isAddress(text) else {
            // The text may hold a password and is not repeated.
            throw CommandFailure(
                .usage,
                "`DATABASE_URL` is no address of a PostgreSQL database",
                hint: "set it to postgresql://USER:PASSWORD@HOST/NAME, or not at all to use the "
                    + "file in `PRELOOP_HOME`"
            )
        }
        return Secret(text)
    }

    private static func vectorBackend(
        _ text: String?,
        hasServer: Bool
    ) throws(CommandFailure) -> VectorBackend {
        guard let text else { return .memory }
        guard let backend = VectorBackend(rawValue: text) else {
            throw CommandFailure(
                .usage,
                "`PRELOOP_VECTOR_BACKEND` is `\(text)`",
                hint: "set it to `memory` or `pgvector`, or not at all"
            )
        }
        guard backend == .memory || hasServer else {
            throw CommandFailure(
                .usage,
                "`PRELOOP_VECTOR_BACKEND` is `pgvector`, and the store is a SQLite file",
                hint: "set `DATABASE_URL` to a PostgreSQL database with pgvector, or the backend "
                    + "to `memory`"
            )
        }
        return backend
    }

    private static func index(
        _ value: (String) -> String?
    ) throws(CommandFailure) -> SearchIndex.Options {
        var options = SearchIndex.Options()
        if let text = value("PRELOOP_RECALL") {
            guard let recall = Double(text), recallRange.contains(recall) else {
                throw CommandFailure(
                    .usage,
                    "`PRELOOP_RECALL` is `\(text)`",
                    hint: "set it to a number from 0.5 to 1, or not at all"
                )
            }
            options.recall = recall
        }
        if let capacity = try number(value, "PRELOOP_INDEX_CAPACITY", capacityRange) {
            options.capacity = capacity
        }
        if let text = value("PRELOOP_INDEX_DENSITY") {
            guard let density = SearchIndex.Density(rawValue: text) else {
                throw CommandFailure(
                    .usage,
                    "`PRELOOP_INDEX_DENSITY` is `\(text)`",
                    hint: "set it to `standard` or `dense`, or not at all"
                )
            }
            options.density = density
        }
        return options
    }

    /// Recalls that may be asked for: the cheapest search there is finds more than half.
    package static let recallRange = 0.5...1.0
    /// Capacities of the index in memory: slot numbers have 30 bits.
    private static let capacityRange = 1_000...(1 << 30)

    /// The kernels would take an unknown name for the slowest of them, and nobody would know why.
    private static func checkKernels(_ text: String?) throws(CommandFailure) {
        guard let text, KernelLevel.named(text) == nil else { return }
        let names = KernelLevel.allCases.map { "`\($0)`" }.joined(separator: ", ")
        throw CommandFailure(
            .usage,
            "`PRELOOP_KERNELS` is `\(text)`",
            hint: "set it to one of \(names), or not at all"
        )
    }

    private static func secretKey(_ text: String?) throws(CommandFailure) -> Secret? {
        guard let text else { return nil }
        guard text.utf8.count >= SecretBox.minimumKeyBytes else {
            throw CommandFailure(
                .usage,
                "`SECRET_KEY` has less than \(SecretBox.minimumKeyBytes) characters",
                hint: "set it to a longer one, or not at all to use the key file"
            )
        }
        return Secret(text)
    }

    private static func languageModel(
        _ value: (String) -> String?
    ) throws(CommandFailure) -> LanguageModel.Configuration? {
        guard let name = value("PRELOOP_AI_PROVIDER") else { return nil }
        guard let provider = LanguageModel.Provider(rawValue: name) else {
            throw CommandFailure(
                .usage,
                "`PRELOOP_AI_PROVIDER` is `\(name)`",
                hint: "set it to `openai` or `anthropic`, or not at all"
            )
        }
        guard let model = value("PRELOOP_AI_MODEL") else {
            throw CommandFailure(
                .usage,
                "`PRELOOP_AI_PROVIDER` is set and `PRELOOP_AI_MODEL` is not",
                hint: "set it to the provider's name of the model"
            )
        }
        let standard =
            provider == .openai ? "https://api.openai.com/v1" : "https://api.anthropic.com/v1"
        return LanguageModel.Configuration(
            provider: provider,
            url: try url(value("PRELOOP_AI_URL") ?? standard, variable: "PRELOOP_AI_URL"),
            model: model,
            apiKey: value("PRELOOP_AI_API_KEY").map(Secret.init)
        )
    }

    /// An http or https address, without a final slash.
    static func url(
        _ text: String,
        variable: String,
        example: String = "the provider's base URL, such as https://api.openai.com/v1"
    ) throws(CommandFailure) -> String {
        let parts = URLComponents(string: text)
        guard let parts, ["http", "https"].contains(parts.scheme?.lowercased()),
            parts.host?.isEmpty == false
        else {
            throw CommandFailure(
                .usage,
                "`\(variable)` is not an http or https address",
                hint: "set it to \(example)"
            )
        }
        return withoutFinalSlash(text)
    }

    /// A whole number; nil when the variable is not set.
    static func number(
        _ value: (String) -> String?,
        _ name: String,
        _ range: ClosedRange<Int>
    ) throws(CommandFailure) -> Int? {
        guard let text = value(name) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw CommandFailure(
                .usage,
                "`\(name)` is `\(text)`",
                hint: "set it to a number from \(range.lowerBound) to \(range.upperBound), or "
                    + "not at all"
            )
        }
        return number
    }

    /// Whether a variable allows what it is about; when it is not set it denies.
    static func isAllowed(
        _ value: (String) -> String?,
        _ name: String
    ) throws(CommandFailure) -> Bool {
        switch value(name) {
        case nil, "deny": return false
        case "allow": return true
        case let other?:
            throw CommandFailure(
                .usage,
                "`\(name)` is `\(other)`",
                hint: "set it to `allow` or `deny`, or not at all"
            )
        }
    }

    private static func callRetention(
        _ value: (String) -> String?
    ) throws(CommandFailure) -> Duration? {
        let names = ["PRELOOP_AUDIT_DAYS", "PRELOOP_CALLS_KEPT_DAYS"]
        guard let name = names.first(where: { value($0) != nil }), let text = value(name)
        else { return CallRetention.standardTime }
        guard let days = Int(text), (0...36_500).contains(days) else {
            throw CommandFailure(
                .usage,
                "`\(name)` is `\(text)`",
                hint: "set it to a number of days, or to 0 to keep the audit for ever"
            )
        }
        return days == 0 ? nil : .seconds(days * 86_400)
    }

    private static func precision(
        _ text: String?
    ) throws(CommandFailure) -> EncodingPrecision? {
        guard let text else { return nil }
        guard let precision = EncodingPrecision(rawValue: text) else {
            throw CommandFailure(
                .usage,
                "`PRELOOP_EMBEDDING_PRECISION` is `\(text)`",
                hint: "set it to `float32`, `bfloat16` or `int8`, or not at all"
            )
        }
        return precision
    }

    private static func withoutFinalSlash(_ text: String) -> String {
        var text = text
        while text.utf8.count > 1, text.utf8.last == UInt8(ascii: "/") { text.removeLast() }
        return text
    }
}
