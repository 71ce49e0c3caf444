import Domain
import Firewall
import MCP

/// Something that can be called.
///
/// Only ``GuardedCall`` can: nothing else makes a ``CallContext``.
protocol Tool: Sendable {
    /// As it is listed.
    var definition: ToolDefinition { get }

    /// Which tool it is to policies.
    var identity: ToolIdentity { get }

    /// Whether it belongs to the gateway itself: every caller has it, and no policy is asked.
    var isOfGateway: Bool { get }

    /// What an account must have for it to be of use.
    var needs: AccountMeans { get }

    /// Does what it is for; `arguments` are what the definition's schema accepts.
    ///
    /// Returns `structuredContent` as the output schema says. Throws for what the caller has to
    /// know; ends soon after its task is cancelled.
    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue

    /// The same for whoever has more to give than structured content.
    func perform(_ arguments: ToolArguments, _ context: CallContext) async throws -> ToolResult
}

extension Tool {
    /// A built-in one.
    var identity: ToolIdentity { ToolIdentity(name: definition.name) }

    /// Most are not.
    var isOfGateway: Bool { false }

    /// Nothing: it works on what is stored.
    var needs: AccountMeans { [] }

    /// What ``run(_:_:)`` gives.
    func perform(_ arguments: ToolArguments, _ context: CallContext) async throws -> ToolResult {
        ToolResult(try await run(arguments, context))
    }
}

/// Resources that come with tools, and change.
protocol ResourceSource: Sendable {
    /// Whether anybody can hear of changes.
    func offersSubscriptions() async -> Bool

    /// What servers can do of which Preloop knows nothing, in the order of their names.
    func foreignCapabilities() async -> [(name: String, declared: JSONObject)]

    /// Has a subscriber hear of a resource no more; of none at all for nil, which ends it.
    func unsubscribe(_ subscriber: ResourceSubscriber, from uri: String?) async
}

/// Tools that come and go while the program runs.
protocol ToolSource: ResourceSource {
    /// Whether there is anything to hand on.
    func isEmpty() async -> Bool

    /// The numbers of the latest changes, by any process; they may be a second old.
    func latestChanges() async -> ListNumbers

    /// Those there are now, by name; none has the name of a tool that is always there.
    func current() async -> [ToolSet.Entry]

    /// What servers say to models, as it was accepted, in the order of their names.
    func instructions() async -> [ServerInstructions]

    /// Which tools these are to policies, with what is asked of servers in the same way.
    func identities() async -> [ToolIdentity]

    /// A list of everything of a kind, such as `resources/list`, of servers of which `isShown` says
    /// that what is listed may be asked for.
    func list(
        _ method: String,
        for caller: Caller,
        _ isShown: @escaping @Sendable (ToolSet.Entry) async -> Bool
    ) async throws(RPCError) -> JSONObject

    /// What answers a request that names one thing, such as `resources/read`, as a tool whose
    /// arguments are the request's parameters.
    func responder(
        to method: String,
        _ parameters: JSONObject,
        for caller: Caller
    ) async throws(RPCError) -> ToolSet.Entry
}

/// What an account has of the world outside, so that tools can be of use to it.
struct AccountMeans: OptionSet, Sendable {
    let rawValue: Int

    /// A tracker that can be written to.
    static let tracker = AccountMeans(rawValue: 1)
    /// A tracker that has pull requests.
    static let pullRequests = AccountMeans(rawValue: 2)
}

/// Checked arguments, by name.
struct ToolArguments: Sendable {
    let members: JSONObject

    /// A text that is there or has the default.
    func text(_ name: String, default fallback: String = "") -> String {
        members[name]?.string ?? fallback
    }

    /// A text that may be missing; an empty one counts as missing.
    func optionalText(_ name: String) -> String? {
        members[name]?.string.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// An integer that is there or has the default.
    func integer(_ name: String, default fallback: Int) -> Int {
        members[name]?.integer.flatMap(Int.init(exactly:)) ?? fallback
    }

    /// A number that is there or has the default.
    func number(_ name: String, default fallback: Double) -> Double {
        members[name]?.double ?? fallback
    }

    /// A truth value that is there or has the default.
    func flag(_ name: String, default fallback: Bool) -> Bool {
        members[name]?.bool ?? fallback
    }

    /// A truth value; nil when it is missing.
    func optionalFlag(_ name: String) -> Bool? { members[name]?.bool }

    /// A list of texts; nil when it is missing, for an empty one says something.
    func optionalTexts(_ name: String) -> [String]? { has(name) ? texts(name) : nil }

    /// A list of texts; empty when it is missing.
    func texts(_ name: String) -> [String] {
        members[name]?.array?.compactMap(\.string) ?? []
    }

    /// Whether it was given at all.
    func has(_ name: String) -> Bool { members[name] != nil }
}
