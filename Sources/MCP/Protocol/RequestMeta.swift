package import Domain

/// The `_meta` of a request: what the protocol reads of it.
package struct RequestMeta: Sendable, Equatable {
    /// The keys that only modern requests have, and those of traces.
    package enum Key {
        package static let traceParent = "traceparent"
        package static let traceState = "tracestate"
        package static let baggage = "baggage"
        package static let protocolVersion = "io.modelcontextprotocol/protocolVersion"
        package static let clientCapabilities = "io.modelcontextprotocol/clientCapabilities"
        package static let clientInfo = "io.modelcontextprotocol/clientInfo"
        package static let logLevel = "io.modelcontextprotocol/logLevel"
        package static let serverInfo = "io.modelcontextprotocol/serverInfo"
        package static let subscriptionID = "io.modelcontextprotocol/subscriptionId"
    }

    /// Asks for progress; a string or an integer.
    package var progressToken: RequestID?
    /// Messages from this level on are wanted; nil for none.
    package var logLevel: LogLevel?
    /// W3C trace context: whatever the call reaches goes on with the trace.
    package var traceParent: String?
    /// `tracestate` beside it.
    package var traceState: String?
    /// What is told to everything in the trace (W3C Baggage).
    package var baggage: String?
    /// Everything else that the protocol does not reserve: what the client says to a server.
    package var other = JSONObject()

    package init() {}

    /// Longer ones are no trace context: version, trace, parent and flags are 55 characters.
    private static let maximumTraceParentBytes = 64
    /// As much as the standard has everybody pass on.
    private static let maximumBaggageBytes = 8_192

    /// Reads what both eras have.
    init(common meta: JSONObject?) {
        progressToken = RequestID(meta?["progressToken"])
        traceParent = meta?[Key.traceParent]?.string.flatMap { text in
            text.utf8.count <= Self.maximumTraceParentBytes ? text : nil
        }
        traceState = meta?[Key.traceState]?.string
        baggage = meta?[Key.baggage]?.string.flatMap { text in
            text.utf8.count <= Self.maximumBaggageBytes ? text : nil
        }
        for member in meta?.members ?? []
        where !Self.isReserved(member.key) && !Self.isOfTrace(member.key) {
            other.append(key: member.key, value: member.value)
        }
    }

    /// Members that say where a request stands in a trace, which is elsewhere for the next one.
    private static func isOfTrace(_ key: String) -> Bool {
        [Key.traceParent, Key.traceState, Key.baggage].contains { haveEqualBytes($0, key) }
    }

    /// Members that belong to one session and are not handed on to another.
    static func isReserved(_ key: String) -> Bool {
        [
            "progressToken", Key.protocolVersion, Key.clientInfo, Key.clientCapabilities,
            Key.logLevel,
        ].contains { haveEqualBytes($0, key) }
    }
}

/// How grave a log message is, as syslog has it; least first.
package enum LogLevel: String, Sendable, CaseIterable, Comparable {
    case debug, info, notice, warning, error, critical, alert, emergency

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }

    /// By gravity.
    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// What a client says of itself: for display and logs only, never for a decision.
package struct ClientDescription: Sendable, Equatable {
    package var name: String
    package var version: String

    package init(name: String, version: String) {
        self.name = name
        self.version = version
    }

    /// Longer texts are cut.
    private static let maximumBytes = 128

    /// Reads an `Implementation`; nil when it has no name or no version.
    init?(_ value: JSONValue?) {
        guard let name = value?["name"]?.string, let version = value?["version"]?.string else {
            return nil
        }
        self.name = Self.cut(name)
        self.version = Self.cut(version)
    }

    private static func cut(_ text: String) -> String {
        String(decoding: text.utf8.prefix(maximumBytes), as: UTF8.self)
    }
}

/// The metadata that makes a request modern, checked.
struct ModernEnvelope: Sendable, Equatable {
    var version: ProtocolVersion
    var client: ClientDescription?
    var capabilities: JSONObject
    var meta: RequestMeta

    /// Whether a request speaks the modern way: any key that only modern requests have.
    ///
    /// Half an envelope counts, so that its sender hears what is missing.
    static func isPresent(in parameters: JSONObject) -> Bool {
        guard let meta = parameters["_meta"]?.object else { return false }
        let keys = [
            RequestMeta.Key.protocolVersion, RequestMeta.Key.clientCapabilities,
            RequestMeta.Key.clientInfo, RequestMeta.Key.logLevel,
        ]
        return keys.contains { meta[$0] != nil }
    }

    /// Checks the envelope of a request.
    ///
    /// - Parameters:
    ///   - parameters: Those of the request.
    ///   - isLenient: For `server/discover`: what is optional there is not worth turning a client
    ///     away for.
    /// - Throws: The error to answer with.
    init(of parameters: JSONObject, isLenient: Bool) throws(RPCError) {
        guard let meta = parameters["_meta"]?.object else {
            throw .invalidParameters(
                "`params._meta` must be an object with `\(RequestMeta.Key.protocolVersion)` and "
                    + "`\(RequestMeta.Key.clientCapabilities)`"
            )
        }
        let required = [RequestMeta.Key.protocolVersion, RequestMeta.Key.clientCapabilities]
        for key in required where meta[key] == nil {
            throw .invalidParameters("`params._meta` lacks `\(key)`")
        }
        guard let requested = meta[RequestMeta.Key.protocolVersion]?.string else {
            throw .invalidParameters("`\(RequestMeta.Key.protocolVersion)` must be a text")
        }
        guard let capabilities = meta[RequestMeta.Key.clientCapabilities]?.object else {
            throw .invalidParameters("`\(RequestMeta.Key.clientCapabilities)` must be an object")
        }
        guard let version = ProtocolVersion(rawValue: requested), version.era == .modern else {
            throw .unsupportedVersion(requested)
        }
        self.version = version
        self.capabilities = capabilities
        self.meta = RequestMeta(common: meta)
        client = ClientDescription(meta[RequestMeta.Key.clientInfo])
        let level = meta[RequestMeta.Key.logLevel]?.string
        self.meta.logLevel = level.flatMap(LogLevel.init(rawValue:))
        if !isLenient { try Self.checkOptional(meta, client: client, level: self.meta.logLevel) }
    }

    private static func checkOptional(
        _ meta: JSONObject,
        client: ClientDescription?,
        level: LogLevel?
    ) throws(RPCError) {
        if let info = meta[RequestMeta.Key.clientInfo], !info.isNull, client == nil {
            throw .invalidParameters(
                "`\(RequestMeta.Key.clientInfo)` must have `name` and `version`"
            )
        }
        if let found = meta[RequestMeta.Key.logLevel], !found.isNull, level == nil {
            let names = LogLevel.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalidParameters("`\(RequestMeta.Key.logLevel)` must be one of \(names)")
        }
        if let token = meta["progressToken"], !token.isNull, RequestID(token) == nil {
            throw .invalidParameters("`progressToken` must be a text or an integer")
        }
    }
}
