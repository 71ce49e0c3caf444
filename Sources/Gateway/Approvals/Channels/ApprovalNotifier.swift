import Crypto
package import Domain
import Firewall
package import HTTPClient
package import Store

/// Tells people of requests, and lets time pass over them: the handlers of ``ApprovalJobs``.
///
/// A delivery that fails is tried again by its job; a channel that is dead loses no request, which
/// waits in the store whoever hears of it. Any number of processes do this side by side: what one
/// of them lacks – a mail server, a channel's variable, the key – it leaves to those that have it.
package struct ApprovalNotifier: Sendable {
    /// What messages are made with.
    package struct Means: Sendable {
        /// Posts to webhooks.
        package var transport: any HTTPTransport
        /// Nil where no mail server is configured.
        package var mail: (any MailTransport)?
        /// Where people reach the server, without a final slash; nil where nobody has said, and
        /// messages have a command in place of a link.
        package var publicURL: String?
        /// Makes a token of an account: its text for the link, its digest for the store.
        package var makeToken: @Sendable (AccountID) -> (text: String, digest: [UInt8])
        /// What variables say, for channels that name one in place of a secret; nil where no
        /// policy may name any.
        package var environment: [String: String]?
        /// Vets the addresses that policies name.
        package var egress: EgressGuard
        /// Bounds what is sent; nil where nothing does.
        package var budget: NoticeBudget?

        package init(
            transport: any HTTPTransport,
            mail: (any MailTransport)?,
            publicURL: String?,
            environment: [String: String],
            egress: EgressGuard,
            makeToken: @escaping @Sendable (AccountID) -> (text: String, digest: [UInt8]) =
                ApprovalLink.makeToken
        ) {
            self.transport = transport
            self.mail = mail
            self.publicURL = publicURL
            self.environment = environment
            self.egress = egress
            self.makeToken = makeToken
        }

        /// The same for accounts that strangers made: variables and networks are the operator's,
        /// and what is sent is bounded.
        package func forStrangers(within budget: NoticeBudget) -> Means {
            var means = self
            means.environment = nil
            means.egress.networks = []
            means.egress.hosts = []
            means.budget = budget
            return means
        }

        /// The jobs that can be done by these means; others are left to who has what it takes.
        package var kinds: [JobKind] {
            mail == nil ? ApprovalJobs.kinds.filter { $0 != ApprovalJobs.mail } : ApprovalJobs.kinds
        }
    }

    let desk: ApprovalDesk
    let means: Means

    package init(desk: ApprovalDesk, means: Means) {
        self.desk = desk
        self.means = means
    }

    /// What does each kind of job that the means are there for.
    package var handlers: [JobKind: JobWorker.Handler] {
        let pairs = means.kinds.map { kind in
            (kind, { claim in try await work(on: claim.job) } as JobWorker.Handler)
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    /// Does a job, unless its request was sealed with another key than this process has: then
    /// nothing is written, for it would be signed with the wrong key too.
    private func work(on job: Job) async throws -> JobWorker.Outcome {
        guard let id = job.payload["request_id"]?.string,
            let request = try await desk.stored(id)
        else { return .done }
        guard desk.opens(request) else {
            if job.kind == ApprovalJobs.deadline {
                guard request.state.isPending else { return .done }
                return .later(Self.otherPause, reason: Self.otherKey)
            }
            return leave(job, Self.otherKey)
        }
        switch job.kind {
        case ApprovalJobs.notify: return try await notify(job.payload)
        case ApprovalJobs.deadline: return try await passTime(job.payload)
        default: return try await deliver(job)
        }
    }

    private static let otherKey =
        "the secret key of this process is not the one that the request was sealed with"

    /// Leaves a job to a process that has what this one lacks, for as long as one that fails is
    /// tried.
    private func leave(_ job: Job, _ reason: String) -> JobWorker.Outcome {
        let end = job.createdAt.advanced(by: Self.otherPatience)
        return desk.store.clock.now() < end
            ? .later(Self.otherPause, reason: reason) : .hopeless(reason)
    }

    /// So soon another process has it, or we look again.
    private static let otherPause: Duration = .seconds(30)
    /// As long as a dead channel is tried.
    private static let otherPatience: Duration = .seconds(1_800)

    /// The request of a job while it is open, or of one that tells of its end; nil when there is
    /// nothing to tell any more.
    private func open(_ payload: JSONValue) async throws -> ApprovalRequest? {
        guard let id = payload["request_id"]?.string else { return nil }
        do {
            let request = try await desk.find(id)
            let tellsEnd = payload["stage"]?.string == ApprovalJobs.endedStage
            return request.state.isPending == tellsEnd ? nil : request
        } catch ApprovalRefusal.unknownRequest {
            return nil
        }
    }

    // MARK: - Whom to tell

    private func notify(_ payload: JSONValue) async throws -> JobWorker.Outcome {
        let place = ApprovalJobs.place(in: payload)
        // Whom a workflow asks that has approved, nobody has to tell any more.
        guard let request = try await open(payload), request.state.place == place else {
            return .done
        }
        let stage = payload["stage"]?.string ?? "requested"
        let now = desk.store.clock.now()
        let channels = request.state.terms.channels.members.map { (channel: $0.key, to: "") }
        // Also where no mail server is known here: another process may have one.
        let mails = try await people(of: request, stage).map { (ApprovalJobs.mailChannel, $0) }
        let drafts = (channels + mails).map { channel, name in
            ApprovalJobs.telling(of: request.id, stage, place, channel, to: name, now: now)
        }
        try await desk.store.writeOutsideFeed { connection, account in
            for draft in drafts { try JobTable.enqueue(draft, account: account, on: connection) }
        }
        return .done
    }

    /// Names of users who have an address, may decide and are asked: those the workflow names, else
    /// those who run the account.
    private func people(of request: ApprovalRequest, _ stage: String) async throws -> [String] {
        let users = try await desk.store.read { connection, account in
            try UserTable.list(account: account, on: connection)
        }
        let terms = request.state.terms
        let named = stage == ApprovalJobs.escalatedStage ? terms.escalation : terms.approvers
        return users.filter { user in
            guard user.mayDecideApprovals, user.email != nil else { return false }
            guard !named.isEmpty else { return user.role == .owner || user.role == .admin }
            return named.contains { haveEqualBytes($0, user.name) }
        }.map(\.name)
    }

    // MARK: - Telling

    /// Tells one of them; what a channel answers is for the log alone.
    ///
    /// An event says once that nothing was delivered, and no more: else whoever writes policies
    /// could find out by it what answers where in the server's network.
    private func deliver(_ job: Job) async throws -> JobWorker.Outcome {
        let payload = job.payload
        let place = ApprovalJobs.place(in: payload)
        // Of an end all are told that were asked.
        guard let request = try await open(payload), let channel = payload["channel"]?.string,
            request.state.place == place || !request.state.isPending && request.state.place > place
        else { return .done }
        let (account, now) = (desk.store.account, desk.store.clock.now())
        if let pause = means.budget?.take(for: account, at: now) {
            return .later(pause, reason: "the account has told enough people in this hour")
        }
        let to = payload["to"]?.string ?? ""
        let name = to.isEmpty ? channel : "\(channel) to \(to)"
        do {
            switch channel {
            case ApprovalJobs.mailChannel: try await mail(request, to: to)
            case "slack", "mattermost", "webhook":
                let isEscalation = payload["stage"]?.string == ApprovalJobs.escalatedStage
                let settings = request.state.workflows[place].channels[channel] ?? .null
                try await post(request, channel, settings, isEscalation: isEscalation)
            default: throw ChannelFailure("there is no such kind of channel", isRetryable: false)
            }
        } catch let failure as ChannelFailure {
            if job.attempts <= 1, job.lastError != failure.reason {
                let detail = "\(visible(name)): was not delivered"
                try await note(request, "notification_failed", detail)
            }
            switch failure.cure {
            case .repetition: throw failure
            case .anotherProcess: return leave(job, failure.reason)
            case .none: return .hopeless(failure.reason)
            }
        }
        try await note(request, "notification_sent", name)
        return .done
    }

    private func note(_ request: ApprovalRequest, _ kind: String, _ detail: String) async throws {
        try await desk.note(
            .init(kind, detail: detail, at: desk.store.clock.now()),
            of: request.id
        )
    }

    private func mail(_ request: ApprovalRequest, to name: String) async throws {
        guard let mail = means.mail else {
            throw ChannelFailure("no mail server is configured", .anotherProcess)
        }
        let user = try await desk.store.read { connection, account in
            try UserTable.list(account: account, on: connection)
                .first { haveEqualBytes($0.name, name) }
        }
        guard let user, user.mayDecideApprovals, let address = user.email else {
            throw ChannelFailure("the user is not asked any more", isRetryable: false)
        }
        let link = try await link(to: request, for: Approver(.user, user.name))
        let message = ApprovalMessage(request: request, link: link, now: desk.store.clock.now())
        do throws(MailError) {
            try await mail.send(
                MailMessage(to: [address], subject: message.subject, text: message.mailText)
            )
        } catch {
            throw ChannelFailure("\(error)", isRetryable: error.isRetryable)
        }
    }

    private func post(
        _ request: ApprovalRequest,
        _ channel: String,
        _ given: JSONValue,
        isEscalation: Bool
    ) async throws {
        let settings = ChannelSettings(given, environment: means.environment)
        let field = channel == "webhook" ? "url" : "webhook_url"
        guard let url = settings.value(field) else { throw settings.absence(of: field) }
        // What the operator has put into a variable needs no word of the operator.
        let addresses = try await settings.isWritten(field) ? vetted(url) : []
        let link = try await link(to: request, for: Approver(.link, channel))
        let now = desk.store.clock.now()
        let message = ApprovalMessage(
            request: request,
            link: link,
            now: now,
            isEscalation: isEscalation
        )
        let body: [UInt8]
        var headers = [HTTPField("Content-Type", "application/json")]
        switch channel {
        case "slack": body = message.slack.serialized()
        case "mattermost": body = message.mattermost.serialized()
        default:
            body = message.webhook.serialized()
            guard let secret = settings.value("secret") else {
                throw settings.absence(of: "secret")
            }
            headers += Self.signature(of: body, with: secret, at: now)
            headers += settings.headers
        }
        var delivery = HTTPRequest(method: "POST", url: url, headers: headers, body: body)
        delivery.limits.totalTimeout = Self.patience
        delivery.limits.maximumResponseByteCount = Self.answerBytes
        // Whatever answers, nobody is sent on from there to where nobody has vetted.
        delivery.limits.maximumRedirects = 0
        let response = try await send(delivery, to: addresses)
        guard (200..<300).contains(response.status) else {
            let isForNow = response.status >= 500 || [408, 425, 429].contains(response.status)
            throw ChannelFailure("it answers \(response.status)", isRetryable: isForNow)
        }
    }

    /// The addresses that a policy's URL leads to, all of which may be reached.
    private func vetted(_ url: String) async throws(ChannelFailure) -> [IPAddress] {
        do throws(EgressRefusal) {
            return try await means.egress.target(of: url).addresses
        } catch {
            if case .unresolved = error {
                throw ChannelFailure("its host is not known", isRetryable: true)
            }
            throw ChannelFailure(
                "its address is none of the public Internet, and PRELOOP_UPSTREAM_ALLOW does not "
                    + "name it",
                isRetryable: false
            )
        }
    }

    /// Sends to the first of the addresses that takes a connection; to where the name leads when
    /// there are none.
    private func send(
        _ request: HTTPRequest,
        to addresses: [IPAddress]
    ) async throws -> HTTPResponse {
        var request = request
        var left = addresses.prefix(Self.maximumAddresses).map(\.description)[...]
        while true {
            request.pinnedAddress = left.popFirst()
            do throws(HTTPError) {
                return try await means.transport.send(request)
            } catch {
                switch error {
                case .cancelled: throw CancellationError()
                case .connectionFailed where !left.isEmpty,
                    .timedOut(_, phase: .connect) where !left.isEmpty:
                    continue
                default:
                    // The address of a webhook is a secret of its own.
                    throw ChannelFailure("the request failed", isRetryable: true)
                }
            }
        }
    }

    /// Addresses of a name that are tried: the versions of the protocol, and one more of each.
    private static let maximumAddresses = 4

    /// A channel that takes longer is tried again later.
    private static let patience: Duration = .seconds(20)
    /// What a channel answers is not read.
    private static let answerBytes = 64 << 10

    /// `X-Preloop-Signature: sha256=` the HMAC of the time, a point, and the body.
    static func signature(
        of body: [UInt8],
        with secret: String,
        at now: Timestamp
    ) -> [HTTPField] {
        let time = String(now.milliseconds / 1_000)
        let code = HMAC<SHA256>.authenticationCode(
            for: Array(time.utf8) + [UInt8(ascii: ".")] + body,
            using: SymmetricKey(data: Array(secret.utf8))
        )
        return [
            HTTPField("X-Preloop-Timestamp", time),
            HTTPField("X-Preloop-Signature", "sha256=\(hexadecimal(code))"),
        ]
    }

    /// The address of the request's page; with a token where whoever reads it may decide.
    ///
    /// A channel's link shows no person: where the workflow names people, wants several, or keeps
    /// callers from approving their own calls, they sign in on the page. Each delivery has a token
    /// of its own, made now, for the store knows digests alone.
    private func link(
        to request: ApprovalRequest,
        for approver: Approver
    ) async throws -> String? {
        guard let address = means.publicURL else { return nil }
        let page = "\(address)/approval/\(request.id)"
        let mayDecide = approver.person != nil || request.state.permitsChannelLinks
        guard mayDecide, request.state.isPending else {
            return page
        }
        let token = means.makeToken(desk.store.account)
        // For the workflow that the message tells of, whichever is asked by now.
        try await desk.addLink(
            digest: token.digest,
            to: request.id,
            for: approver,
            at: request.state.place
        )
        return "\(page)?token=\(token.text)"
    }

    // MARK: - Time

    /// Ends a request, or escalates it; the escalation makes the job for its own end.
    ///
    /// Nothing is waited for: a job that comes too early is given back until the end.
    private func passTime(_ payload: JSONValue) async throws -> JobWorker.Outcome {
        try await desk.prune()
        guard let request = try await open(payload) else {
            try await forgetMails(of: payload["request_id"]?.string ?? "")
            return .done
        }
        let rest = request.state.expiresAt.milliseconds(since: desk.store.clock.now())
        let isLast = payload["stage"]?.string == ApprovalJobs.escalatedStage
        // The end of the second window has a job of its own, and so has that of each workflow.
        guard ApprovalJobs.place(in: payload) == request.state.place,
            isLast == (request.state.escalatedAt != nil)
        else { return .done }
        // The clock of whoever made the job was ahead. It may be time by now: the look that ends
        // the request is still to come.
        return .later(.milliseconds(max(rest, 1)), reason: "the request is still open")
    }

    /// Removes the mails of a request that is over: where nobody has a mail server, nobody takes
    /// them.
    private func forgetMails(of id: String) async throws {
        try await desk.store.writeOutsideFeed { connection, account in
            try JobTable.discard(
                ApprovalJobs.mail,
                keysBeginning: ApprovalJobs.keyBeginning(id),
                account: account,
                on: connection
            )
        }
    }
}

/// Why a channel did not take a message; never holds its address.
struct ChannelFailure: Error, Equatable, CustomStringConvertible {
    /// What may help.
    enum Cure: Equatable {
        case none
        /// Another attempt.
        case repetition
        /// An attempt of a process that has other settings.
        case anotherProcess
    }

    var reason: String
    var cure: Cure

    init(_ reason: String, _ cure: Cure) {
        self.reason = reason
        self.cure = cure
    }

    init(_ reason: String, isRetryable: Bool) {
        self.init(reason, isRetryable ? .repetition : .none)
    }

    var description: String { reason }
}

/// What a policy says of a channel.
struct ChannelSettings {
    private let settings: JSONValue
    /// Nil where no policy may name a variable.
    private let environment: [String: String]?

    /// Only variables of such names may be read: a policy must not spell out what is none of its
    /// business.
    private static let prefix = "PRELOOP_CHANNEL_"
    /// Headers of a generic webhook.
    private static let maximumHeaders = 20

    init(_ settings: JSONValue, environment: [String: String]?) {
        self.settings = settings
        self.environment = environment
    }

    /// A field's text, or that of the variable that `<field>_env` names.
    func value(_ field: String) -> String? {
        if let text = settings[field]?.string, !text.isEmpty { return text }
        guard let name = variable(of: field), let text = environment?[name], !text.isEmpty
        else { return nil }
        return text
    }

    /// Why a field has no text: nobody has said it, or this process lacks a variable.
    func absence(of field: String) -> ChannelFailure {
        guard environment != nil, let name = variable(of: field) else {
            return ChannelFailure("`\(field)` is missing", isRetryable: false)
        }
        return ChannelFailure("the variable `\(name)` is not set here", .anotherProcess)
    }

    /// The variable that a field names, where policies may name it.
    private func variable(of field: String) -> String? {
        guard let name = settings["\(field)_env"]?.string, name.hasPrefix(Self.prefix) else {
            return nil
        }
        return name
    }

    /// Whether the policy itself says a field's text.
    func isWritten(_ field: String) -> Bool { settings[field]?.string?.isEmpty == false }

    /// Further headers; those are left out that no policy may set.
    var headers: [HTTPField] {
        (settings["headers"]?.object?.members ?? []).prefix(Self.maximumHeaders)
            .filter { !ChannelHeaders.isReserved($0.key) }
            .compactMap { member in member.value.string.map { HTTPField(member.key, $0) } }
    }
}
