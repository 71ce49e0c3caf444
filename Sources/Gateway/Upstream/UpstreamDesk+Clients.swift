import Domain
import MCP

/// What servers are told of the client of a call, and it of them.
extension UpstreamDesk {
    /// What the client says that it can be asked.
    static func askable(_ extras: GuardedCall.Extras) -> JSONObject {
        AskableCapabilities.of(extras.capabilities)
    }

    /// Which log messages the client of a call wants: one of the newer era says so each time.
    static func messages(for extras: GuardedCall.Extras) -> LogWish {
        if let level = extras.logLevel { return .from(level) }
        return extras.isModern ? .nothing : .usual
    }

    /// Asks a client of the older era what a server of the newer one wants to know.
    static func answers(
        to result: JSONObject,
        _ ask: UpstreamListener.Ask
    ) async throws -> JSONObject {
        var answers = JSONObject()
        for member in result["inputRequests"]?.object?.members ?? [] {
            let method = member.value["method"]?.string ?? ""
            var parameters = member.value["params"]?.object ?? JSONObject()
            // The older era names a page that is to be opened; the newer one has no such member.
            if method == "elicitation/create", parameters["mode"] == "url",
                parameters["elicitationId"] == nil
            {
                parameters["elicitationId"] = .string(random())
            }
            let outcome = await ask(method, parameters)
            do throws(RPCError) {
                answers.append(key: member.key, value: .object(try outcome.get()))
            } catch {
                throw UpstreamError.refused(error)
            }
        }
        // A server that asks nothing wants to be called again a little later.
        if answers.members.isEmpty { try await Task.sleep(for: .milliseconds(500)) }
        return answers
    }

    /// What a server's session is told that its client can do.
    static func capabilities(of context: CallContext, canBeAsked: Bool) -> JSONObject {
        let given = context.extras.capabilities
        var own = ForeignCapabilities.of(given)
        guard canBeAsked else { return own }
        for member in askable(context.extras).members { own[member.key] = member.value }
        // Of a client that comes with each call alone nobody hears that its roots have changed.
        if context.open != nil, given["roots"]?["listChanged"] == true {
            own["roots"] = ["listChanged": true]
        }
        return own
    }

    static func guest(of context: CallContext) -> Guest? {
        guard let open = context.open else { return nil }
        return Guest(
            session: open.session,
            client: client(of: context),
            tell: { notice in await open.tell(notice) },
            ask: { method, parameters in await open.ask(method, parameters) }
        )
    }

    static func client(of context: CallContext) -> UpstreamListener.Client {
        UpstreamListener.Client(caller: context.caller.name, session: context.session)
    }

    /// How the client of a call is asked; nil where it cannot be.
    static func ask(_ context: CallContext, _ parked: ParkedCall?) -> UpstreamListener.Ask? {
        guard let parked else { return context.extras.ask }
        return { method, parameters in await parked.ask(method, parameters) }
    }

    static func listener(_ context: CallContext, _ parked: ParkedCall?) -> UpstreamListener {
        UpstreamListener(
            client: client(of: context),
            progress: { parameters in
                guard let done = parameters["progress"]?.double else { return }
                await context.progress(
                    ServerSession.Progress(
                        done: done,
                        total: parameters["total"]?.double,
                        message: parameters["message"]?.string
                    )
                )
            },
            message: { level, parameters in await context.message(level, parameters) },
            ask: ask(context, parked),
            isAway: { parked?.isClientAway ?? false },
            guest: guest(of: context)
        )
    }

    /// A result in the terms of the client's era; for how long and for whom it may be kept is said
    /// where it leaves for the client.
    static func bridged(
        _ result: JSONObject,
        _ extras: GuardedCall.Extras
    ) throws -> JSONObject {
        var result = result
        switch result["resultType"]?.string {
        case nil: break
        case "complete": result["resultType"] = nil
        case "input_required" where extras.isModern: return result
        // A client that has declared extensions knows the results that they have.
        case let other?
        where extras.isModern && other != "task"
            && ForeignCapabilities.of(extras.capabilities)["extensions"] != nil:
            break
        case let other?:
            throw UpstreamError.invalid(
                reason: "the client cannot be told a result of the kind `\(other.prefix(32))`"
            )
        }
        if var meta = result["_meta"]?.object {
            meta[RequestMeta.Key.serverInfo] = nil
            result["_meta"] = meta.members.isEmpty ? nil : .object(meta)
        }
        return result
    }
}
