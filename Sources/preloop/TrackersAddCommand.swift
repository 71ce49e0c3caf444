import ArgumentParser
import Bootstrap
import Domain
import Search
import Store
import Trackers

/// `preloop trackers add`: checks a token and stores it sealed.
struct TrackersAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Add a tracker.",
        discussion: """
            The token is read from an environment variable, a file, or the terminal without echo, \
            and stored encrypted. It is tried out first; a token that is refused is not stored. A \
            GitHub App is named by --app-id and --private-key-file instead; its tokens of an hour \
            are made as they are needed.

            A pattern names an organisation (acme), a project (acme/web, KEY), or several (acme/*, \
            **/legacy-*). Without --include everything the token sees is read; --exclude wins.
            """
    )

    @Argument(help: "github, gitlab or jira.")
    var kind: TrackerKind

    @Option(help: "Your name for the tracker.")
    var name: String

    @Option(help: "The service's base URL; the vendor's own cloud when left out.")
    var url: String?

    @Option(help: "cloud or server; when left out, the URL and --user decide.")
    var deployment: TrackerDeployment?

    @Option(help: "The user name or e-mail address the token belongs to (Jira Cloud).")
    var user: String?

    @OptionGroup var token: TokenSource

    @OptionGroup var scope: ScopeOptions

    @Flag(help: "Store the token without trying it out.")
    var noTest = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard name.unicodeScalars.contains(where: { !$0.properties.isWhitespace }),
            name.utf8.count <= 100, singleLine(name).utf8.elementsEqual(name.utf8)
        else { throw ValidationError("--name is one line of 1 to 100 bytes") }
        guard !haveEqualBytes(name, IssueImport.trackerName) else {
            throw ValidationError(
                "the name `\(name)` belongs to the issues of `preloop index import`"
            )
        }
        try token.validate(for: kind)
        try TrackerAddress(url: url).validate(for: kind, deployment: deployment, user: user)
    }

    func run() async throws {
        let settings = try Settings.read()
        let address = try TrackerAddress(url: url)
        let secret = try token.read(environment: settings.environment, for: name)
        let installation = try await Installation.create(settings)
        var tracker = Tracker(
            id: TrackerID(0),
            kind: kind,
            deployment: deployment ?? address.deployment(of: kind, user: user),
            name: name,
            url: address.url,
            userName: user,
            createdAt: installation.store.clock.now()
        )
        var identity: TrackerIdentity?
        if !noTest {
            let found = try await installation.tryOut(
                tracker,
                secret: secret,
                advice: "run the command again with another token",
                orElse: "the tracker `\(name)` was not added"
            )
            identity = found
            tracker.status = .valid
            tracker.statusDetail = found.statusDetail
            tracker.checkedAt = installation.store.clock.now()
        }
        try await store(tracker, secret: secret, in: installation)
        try await installation.close()
        try report(tracker, identity: identity)
    }

    private func store(
        _ tracker: Tracker,
        secret: Secret,
        in installation: Installation
    ) async throws(CommandFailure) {
        try await attempt("the tracker `\(name)` was not added") {
            try await installation.add(
                tracker,
                secret: secret,
                scope: Scope(scope.rules),
                by: Installation.localAuthor
            )
        }
    }

    private func report(_ tracker: Tracker, identity: TrackerIdentity?) throws {
        guard !output.isJSON else {
            try Output.result([
                "name": .string(tracker.name), "kind": .string(tracker.kind.rawValue),
                "deployment": .string(tracker.deployment.rawValue),
                "url": .string(tracker.url),
                "user": JSONValue(identity?.userName ?? tracker.userName),
                "warnings": JSONValue(identity?.warnings ?? []),
            ])
            return
        }
        let who =
            identity.map { ", token of \(singleLine($0.userName))" } ?? ", token not tried out"
        try Output.text(
            [
                "Added \(tracker.name) "
                    + "(\(tracker.kind.rawValue) \(tracker.deployment.rawValue)\(who))."
            ]
                + (identity?.warnings ?? []).map { "warning: \(singleLine($0))" }
                + ["Next: preloop-sync scan tracker \(tracker.name)"]
        )
    }
}

extension TrackerKind: ExpressibleByArgument {}
extension TrackerDeployment: ExpressibleByArgument {}
