package import Domain

/// Registers webhooks at a tracker, under the terms of ``IssueWriter``.
package protocol WebhookRegistrar: Sendable {
    /// The webhooks that are registered there, ours and others'.
    func webhooks(at place: WebhookPlace) async throws(TrackerError) -> [RegisteredWebhook]

    /// Registers a webhook for everything a store follows.
    func registerWebhook(
        _ webhook: WebhookRegistration,
        at place: WebhookPlace
    ) async throws(TrackerError) -> RegisteredWebhook

    /// Gives a registered webhook this address, secret and these events, and switches it on.
    func updateWebhook(
        _ id: String,
        at place: WebhookPlace,
        to webhook: WebhookRegistration
    ) async throws(TrackerError) -> RegisteredWebhook

    /// Removes a webhook; one that is not there is removed.
    func removeWebhook(_ id: String, at place: WebhookPlace) async throws(TrackerError)
}

/// Where a webhook is registered.
package enum WebhookPlace: Sendable, Hashable {
    /// For all projects of an owner, group or site, those to come included.
    case organization(RemoteOrganization)
    case project(RemoteProject)
}

/// A webhook to register.
package struct WebhookRegistration: Sendable, Equatable {
    /// Where deliveries go.
    package var url: String
    /// What they are signed with.
    package var secret: Secret
    /// Whether the tracker checks our certificate; false only for tests and closed networks.
    package var verifiesCertificate: Bool

    package init(url: String, secret: Secret, verifiesCertificate: Bool = true) {
        self.url = url
        self.secret = secret
        self.verifiesCertificate = verifiesCertificate
    }

    /// Refuses what would make every delivery worthless.
    func check() throws(TrackerError) {
        guard url.hasPrefix("https://") || url.hasPrefix("http://") else {
            throw .invalid("url", "is no web address")
        }
        // 32 hexadecimal digits; a shorter secret can be guessed.
        guard secret.reveal().utf8.count >= 32 else {
            throw .invalid("secret", "is shorter than 32 characters")
        }
    }
}

/// A webhook as the tracker shows it; secrets are never shown.
package struct RegisteredWebhook: Sendable, Equatable {
    package var id: String
    package var place: WebhookPlace
    package var url: String
    package var isActive: Bool
    /// What it is told of, in the tracker's words.
    package var events: [String]
    /// Why the tracker has stopped it, or what became of its last delivery; nil when all is well or
    /// nothing is told.
    package var problem: String?

    package init(
        id: String,
        place: WebhookPlace,
        url: String,
        isActive: Bool = true,
        events: [String] = [],
        problem: String? = nil
    ) {
        self.id = id
        self.place = place
        self.url = url
        self.isActive = isActive
        self.events = events
        self.problem = problem
    }
}

extension WebhookRegistrar {
    /// Registers a webhook, or brings the one with its address up to date.
    package func install(
        _ webhook: WebhookRegistration,
        at place: WebhookPlace
    ) async throws(TrackerError) -> RegisteredWebhook {
        let present = try await webhooks(at: place).first { $0.url == webhook.url }
        if let present { return try await updateWebhook(present.id, at: place, to: webhook) }
        return try await registerWebhook(webhook, at: place)
    }

    /// Registers a webhook for an organisation, or where that is not to be had for each project.
    ///
    /// A user is no organisation, GitLab's free edition has no group hooks, and a token may lack
    /// the right for one and have it for the other.
    ///
    /// - Returns: What is registered, and the projects for which even that was refused.
    package func install(
        _ webhook: WebhookRegistration,
        for organization: RemoteOrganization,
        projects: [RemoteProject]
    ) async throws(TrackerError) -> (
        webhooks: [RegisteredWebhook], refused: [(project: RemoteProject, error: TrackerError)]
    ) {
        do throws(TrackerError) {
            return ([try await install(webhook, at: .organization(organization))], [])
        } catch {
            switch error {
            case .notFound, .forbidden: break
            case .refused(let refusal) where refusal.reason == .unsupported: break
            default: throw error
            }
        }
        var webhooks: [RegisteredWebhook] = []
        var refused: [(project: RemoteProject, error: TrackerError)] = []
        for project in projects {
            do throws(TrackerError) {
                webhooks.append(try await install(webhook, at: .project(project)))
            } catch {
                switch error {
                case .notFound, .forbidden, .refused: refused.append((project, error))
                default: throw error
                }
            }
        }
        return (webhooks, refused)
    }
}
