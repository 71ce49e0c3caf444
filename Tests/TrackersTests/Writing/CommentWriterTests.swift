import Domain
import TestSupport
import Testing

@testable import Trackers

@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct CommentWriterTests {
    @Test(arguments: WriteTarget.allCases)
    func `a comment of another issue is not changed`(target: WriteTarget) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let error = await trackerError {
            _ = try await fixture.writers.comments.updateComment(
                "102",
                of: try await fixture.reference(1),
                in: fixture.project,
                body: "Overwritten"
            )
        }
        guard case .notFound? = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
        #expect(try await fixture.truth().items[2]?.comments.count == 1)
        let read = try await ProjectReading(fixture.client, fixture.project)
        #expect(!read.comments.values.joined().contains { $0.body == "Overwritten" })
    }

    @Test(arguments: WriteTarget.allCases)
    func `a comment is added, changed, and answered as a scan reads it`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        let body = "I see **this** too, with `x`"
        let added = try await fixture.writers.comments.addComment(
            body,
            to: reference,
            in: fixture.project,
            replyingTo: nil
        )
        #expect(added.body == body)
        #expect(added.author != nil)
        let changed = try await fixture.writers.comments.updateComment(
            added.externalID,
            of: reference,
            in: fixture.project,
            body: "No longer"
        )
        #expect(changed.externalID == added.externalID)
        #expect(changed.body == "No longer")
        let read = try await ProjectReading(fixture.client, fixture.project)
        let place = ProjectReading.Place(kind: .issue, number: 1)
        #expect(read.comments[place]?.contains(changed) == true)
        #expect(try await fixture.truth().items[1]?.comments.count == 2)
    }

    @Test(arguments: [WriteTarget.github, .jiraCloud, .jiraServer])
    func `a reply quotes what it answers where there are no threads`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        let first = try await fixture.writers.comments.addComment(
            "Which version?",
            to: reference,
            in: fixture.project,
            replyingTo: nil
        )
        let reply = try await fixture.writers.comments.addComment(
            "The last one",
            to: reference,
            in: fixture.project,
            replyingTo: first.externalID
        )
        #expect(reply.body.hasPrefix("> **"))
        #expect(reply.body.contains("> Which version?"))
        #expect(reply.body.hasSuffix("\n\nThe last one"))
    }

    @Test(arguments: WriteTarget.allCases)
    func `case 4: writes under resets and gateway errors are never done twice`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(
            target,
            arguments: [
                "--faults", "3", "--fault-rate", "0.4", "--fault-kinds", "reset,html502,ratelimit",
            ]
        )
        defer { fixture.fake.stop() }
        let reference = try await fixture.reference(1)
        var (done, unknown) = (0, 0)
        for number in 0..<20 {
            let error = await trackerError {
                let comment = try await fixture.writers.comments.addComment(
                    "Comment \(number)",
                    to: reference,
                    in: fixture.project,
                    replyingTo: nil
                )
                #expect(comment.body == "Comment \(number)")
            }
            if let error {
                let isUnknown = "\(error)".hasPrefix("whether the tracker did it is not known")
                #expect(isUnknown, "\(error)")
                unknown += 1
            } else {
                done += 1
            }
        }
        let comments = try await fixture.truth().items[1]?.comments ?? [:]
        // Equal bodies have equal digests: nothing is there twice.
        #expect(Set(comments.values).count == comments.count)
        #expect(comments.count - 1 >= done)
        #expect(comments.count - 1 <= done + unknown)
        #expect(done > 0)
    }
}
