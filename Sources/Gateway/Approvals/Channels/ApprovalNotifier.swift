import Crypto
package import Domain
import Firewall
package import HTTPClient
package import Store

/// Tells people of requests, and lets time pass over them: the handlers of ``ApprovalJobs``.
///
/// A delivery that fails is tried again by its job; a channel that is dead loses no request, which
/// waits in the store whoever hears of it.
package struct ApprovalNotifier: Sendable {
    /// What messages are made with.
    package struct Means: Sendable {
        /// Posts to webhooks.
        package var transport: any HTTPTransport
        /// Nil where no mail server is configured.
        package var mail: (any MailTransport)?
        /// Where people reach the server, without a final slash.
        package var publicURL: String
        /// Makes a token of an account: its text for the link, its digest for the store.
        package var makeToken: @Sendable (AccountID) -> (text: String, digest: [UInt8])
        /// What variables say, for channels that name one in place of a secret.
        package var environment: [String: String]
        /// Vets the addresses that policies name.
        package var egress: EgressGuard
        /// Bounds what is sent; nil where nothing does.
        package var budget: NoticeBudget?

        package init(
            transport: any HTTPTransport,
            mail: (any MailTransport)?,
            publicURL: String,
            environment: [String: String],
            egress: EgressGuard,
            makeToken: @escaping @Sendable (AccountID) -> (text: String, digest: [UInt8])
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
            means.environment = [:]
            means.egress.networks = []
            means.egress.hosts = []
            means.budget = budget
            return means
        }
    }

    let desk: ApprovalDesk
    let means: Means

    package init(desk: ApprovalDesk, means: Means) {
        self.desk = desk
        self.means = means
    }

    /// What does each kind of job.
    package var handlers: [JobKind: JobWorker.Handler] {
        [
            ApprovalJobs.notify: { claim in try await notify(claim.job.payload) },
            ApprovalJobs.deliver: { claim in
                try await deliver(claim.job.payload, isFirst: claim.job.attempts <= 1)
            },
            ApprovalJobs.deadline: { claim in try await passTime(claim.job.payload) },
        ]
    }

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
        guard let request = try await open(payload) else { return .done }
        let stage = payload["stage"]?.string ?? "requested"
        let now = desk.store.clock.now()
        var targets = request.state.terms.channels.members.map { (channel: $0.key, to: "") }
        if means.mail != nil {
            targets += try await people(of: request, stage).map { ("email", $0) }
        }
        let drafts = targets.map { target in
            Job.Draft(
                ApprovalJobs.deliver,
                payload: [
                    "request_id": .string(request.id), "stage": .string(stage),
                    "channel": .string(target.channel), "to": .string(target.to),
                ],
                uniqueness: .whileKept("\(request.id)/\(stage)/\(target.channel)/\(target.to)"),
                now: now,
                maximumAttempts: ApprovalJobs.attempts
            )
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
        let named = stage == "escalated" ? terms.escalation : terms.approvers
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
    private func deliver(
        _ payload: JSONValue,
        isFirst: Bool
    ) async throws -> JobWorker.Outcome {
        guard let request = try await open(payload), let channel = payload["channel"]?.string
        else { return .done }
        let (account, now) = (desk.store.account, desk.store.clock.now())
        if let pause = means.budget?.take(for: account, at: now) {
            return .later(pause, reason: "the account has told enough people in this hour")
        }
        let to = payload["to"]?.string ?? ""
        let name = to.isEmpty ? channel : "\(channel) to \(to)"
        do {
            switch channel {
            case "email": try await mail(request, to: to)
            case "slack", "mattermost", "webhook": try await post(request, channel)
            default: throw ChannelFailure("there is no such kind of channel", isRetryable: false)
            }
        } catch let failure as ChannelFailure {
            if isFirst {
                let detail = "\(visible(name)): was not delivered"
                try await note(request, "notification_failed", detail)
            }
            guard failure.isRetryable else { return .hopeless(failure.reason) }
            throw failure
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
            throw ChannelFailure("no mail server is configured", isRetryable: false)
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

    private func post(_ request: ApprovalRequest, _ channel: String) async throws {
        let settings = ChannelSettings(
            request.state.terms.channels[channel] ?? .null,
            environment: means.environment
        )
        let field = channel == "webhook" ? "url" : "webhook_url"
        guard let url = settings.value(field) else {
            throw ChannelFailure("`\(field)` is missing", isRetryable: false)
        }
        // What the operator has put into a variable needs no word of the operator.
        let addresses = try await settings.isWritten(field) ? vetted(url) : []
        let link = try await link(to: request, for: Approver(.link, channel))
        let now = desk.store.clock.now()
        let message = ApprovalMessage(request: request, link: link, now: now)
        let body: [UInt8]
        var headers = [HTTPField("Content-Type", "application/json")]
        switch channel {
        case "slack": body = message.slack.serialized()
        case "mattermost": body = message.mattermost.serialized()
        default:
            body = message.webhook.serialized()
            guard let secret = settings.value("secret") else {
                throw ChannelFailure("`secret`, to sign with, is missing", isRetryable: false)
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
    ) async throws -> String {
        let page = "\(means.publicURL)/approval/\(request.id)"
        let mayDecide = approver.person != nil || request.state.terms.permitsChannelLinks
        guard mayDecide, request.state.isPending else {
            return page
        }
        let token = means.makeToken(desk.store.account)
        try await desk.addLink(digest: token.digest, to: request.id, for: approver)
        return "\(page)?token=\(token.text)"
    }

    // MARK: - Time

    /// Ends a request, or escalates it; the escalation makes the job for its own end.
    private func passTime(_ payload: JSONValue) async throws -> JobWorker.Outcome {
        try await desk.prune()
        guard let request = try await open(payload) else { return .done }
        let rest = request.state.expiresAt.milliseconds - desk.store.clock.now().milliseconds
        let isOwnEnd = request.state.escalatedAt == nil && rest > 0
        // The clock of whoever made the job was ahead.
        return isOwnEnd ? .later(.milliseconds(rest), reason: "the request is still open") : .done
    }
}

/// Why a channel did not take a message; never holds its address.
struct ChannelFailure: Error, Equatable, CustomStringConvertible {
    var reason: String
    var isRetryable: Bool

    init(_ reason: String, isRetryable: Bool) {
        self.reason = reason
        self.isRetryable = isRetryable
    }

    var description: String { reason }
}

/// What a policy says of a channel.
struct ChannelSettings {
    private let settings: JSONValue
    private let environment: [String: String]

    /// Only variables of such names may be read: a policy must not spell out what is none of its
    /// business.
    private static let prefix = "PRELOOP_CHANNEL_"
    /// Headers of a generic webhook.
    private static let maximumHeaders = 20

    init(_ settings: JSONValue, environment: [String: String]) {
        self.settings = settings
        self.environment = environment
    }

    /// A field's text, or that of the variable that `<field>_env` names.
    func value(_ field: String) -> String? {
        if let text = settings[field]?.string, !text.isEmpty { return text }
        guard let name = settings["\(field)_env"]?.string, name.hasPrefix(Self.prefix),
            let text = environment[name], !text.isEmpty
        else { return nil }
        return text
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
