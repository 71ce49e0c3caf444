package import Domain
import HTTPClient

/// What a verified delivery tells, in terms common to all trackers.
///
/// An event says that something changed, never that nothing else did: deliveries come late, twice,
/// and out of order. Whoever applies one compares ``happenedAt`` and the item's own time with what
/// is stored, and reads the item where the event brings none.
package struct WebhookEvent: Sendable, Equatable {
    /// What tells this delivery from others; see ``WebhookDelivery/identifier``.
    package var deliveryID: String
    package var subject: Subject
    /// The tracker's own words, such as `issues.closed`.
    package var action: String
    /// Whose event it is; nil where it concerns no single project.
    package var project: Place?
    /// When it happened by the tracker's clock; nil when it does not tell.
    package var happenedAt: Timestamp?

    /// A project as deliveries name it.
    package struct Place: Sendable, Equatable {
        /// Nil where only the path is told.
        package var externalID: String?
        package var path: String?

        package init(externalID: String? = nil, path: String? = nil) {
            self.externalID = externalID
            self.path = path
        }
    }

    /// What changed.
    package enum Subject: Sendable, Equatable {
        /// An issue or pull request is as `item` says, or has to be read when that is nil.
        case changed(IssueReference, item: Issue?)
        /// It is gone.
        case deleted(IssueReference)
        /// It lives in another project now; nil when the delivery does not say where.
        case moved(IssueReference, to: String?)
        /// A comment is as `comment` says, or the issue's comments have to be read.
        case comment(String, of: IssueReference, comment: Comment?, item: Issue?)
        /// A comment is gone.
        case commentDeleted(String, of: IssueReference, item: Issue?)
        /// The project itself changed.
        case project(ProjectEvent)
        /// A label was renamed or removed: issues that carry it changed without their time.
        case label(name: String, previousName: String?)
        /// What the App may see changed.
        case installation(isGone: Bool)
        /// The tracker asks whether we are there.
        case ping
        /// Nothing we keep.
        case other
    }

    /// What became of a project.
    package enum ProjectEvent: Sendable, Equatable {
        case created
        /// Under another name or owner.
        case renamed(from: String?)
        case deleted
        /// Archived, made private or public: what can be read may have changed.
        case changed
    }
}

extension WebhookDelivery {
    /// Reads what the delivery tells; call ``verify(secrets:now:)`` first.
    ///
    /// - Throws: ``WebhookError/malformed(detail:)`` when it is not what a tracker sends; an event
    ///   of a kind that is not known is ``WebhookEvent/Subject/other``.
    package func event() throws(WebhookError) -> WebhookEvent {
        guard body.count <= Self.maximumBodyByteCount else {
            throw .bodyTooLarge(byteCount: body.count)
        }
        let document: JSONValue
        do throws(JSONError) {
            document = try JSONParser.parse(payload)
        } catch {
            throw .malformed(detail: "\(error)")
        }
        guard case .object = document else { throw .malformed(detail: "no JSON object") }
        do throws(FieldError) {
            let fields = try FieldReader(document)
            return switch kind {
            case .github: try GitHubWebhook.event(self, fields)
            case .gitlab: try GitLabWebhook.event(self, fields)
            case .jira: try JiraWebhook.event(self, fields)
            }
        } catch {
            throw .malformed(detail: error.reason)
        }
    }

    /// The JSON; GitHub wraps it in a form unless the hook was told otherwise.
    private var payload: [UInt8] {
        guard kind == .github,
            headers["Content-Type"]?.lowercased().hasPrefix("application/x-www-form-urlencoded")
                == true
        else { return body }
        let form = QueryString(parsing: String(decoding: body, as: UTF8.self))
        return Array((form["payload"] ?? "").utf8)
    }
}
