import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// Requests that several workflows hold, over REST and on the page.
@Suite struct ApprovalWorkflowAnswerTests {
    private static let path = "/api/v1/approval-requests"

    private func server() async throws -> RunningServer {
        let server = try await RunningServer()
        for (name, role) in [("ann", Role.owner), ("bob", .editor), ("kim", .editor)] {
            _ = try await server.add(name, role)
        }
        return server
    }

    /// The requests are in the store; any desk of the account sees them.
    private func desk(_ server: RunningServer) throws -> ApprovalDesk {
        let box = try RunningServer.box()
        return ApprovalDesk(
            store: server.scratch.store,
            box: { box },
            workflows: { ApprovalWorkflow(name: $0 ?? "default") }
        )
    }

    private func link(
        _ server: RunningServer,
        _ id: String,
        for name: String
    ) async throws -> String {
        let token = ApprovalLink.makeToken(of: AccountTable.defaultID)
        let approver = Approver(.user, name)
        try await desk(server).addLink(digest: token.digest, to: id, for: approver)
        return token.text
    }

    /// A request that two workflows hold.
    private func heldByTwo(_ server: RunningServer) async throws -> String {
        let (request, _) = try await desk(server).open(
            ApprovalDesk.Draft(
                tool: "echo",
                arguments: JSONObject([("text", "hello")]),
                caller: Caller(name: "user:ann", channel: .rest),
                digest: Array(repeating: 7, count: 32),
                demand: ApprovalDemand(
                    workflows: ["leads", "security"],
                    policyVersion: 1,
                    message: "ask first"
                )
            )
        )
        return request.id
    }

    /// A request that was sent twice approved for both workflows.
    @Test func `where several workflows have to approve, a decision says which one it is for`()
        async throws
    {
        let server = try await server()
        let bob = try await server.key("bob")
        let id = try await heldByTwo(server)
        func approve(_ body: JSONValue) async throws -> RunningServer.Answer {
            try await server.send("POST", "\(Self.path)/\(id)/approve", body, token: bob)
        }
        let silent = try await approve([:])
        #expect(try silent.status == 422 && silent.json["asked_workflow"] == "leads")
        #expect(try silent.json["errors"]?[0]?["path"] == "workflow", "\(silent.text)")
        let early = try await approve(["workflow": "security"])
        #expect(try early.status == 409 && early.json["code"] == "other_workflow")
        #expect(try early.json["asked_workflow"] == "leads")
        #expect(try await desk(server).find(id).state.votes.isEmpty)
        let first = try await approve(["workflow": "leads"])
        #expect(try first.status == 200 && first.json["status"] == "pending", "\(first.text)")
        #expect(try first.json["asked_workflow"] == "security")
        let again = try await approve(["workflow": "leads"])
        #expect(try again.status == 409 && again.json["asked_workflow"] == "security")
        #expect(again.text.contains("`security` is asked now"))
        #expect(try await desk(server).find(id).state.votes.count == 1)
        for name in ["decline", "decide"] {
            let body: JSONValue = name == "decide" ? ["decision": "decline"] : [:]
            let path = "\(Self.path)/\(id)/\(name)"
            #expect(try await server.send("POST", path, body, token: bob).status == 422)
        }
        let last = try await server.send(
            "POST",
            "\(Self.path)/\(id)/decide",
            ["decision": "approve", "workflow": "security"],
            token: bob
        )
        #expect(try last.status == 200 && last.json["status"] == "approved", "\(last.text)")
        try await server.stop()
    }

    @Test func `a link, and the page behind it, answer the workflow that they were made for`()
        async throws
    {
        let server = try await server()
        let id = try await heldByTwo(server)
        let token = try await link(server, id, for: "bob")
        let unused = try await link(server, id, for: "kim")
        let page = try await server.send("GET", "/approval/\(id)?token=\(token)")
        #expect(page.text.contains("name=\"workflow\" value=\"leads\""), "\(page.text)")
        let decide = "/approval/\(id)/decide"
        let wrong = try await server.sendForm(
            decide,
            "token=\(token)&workflow=security&decision=approve"
        )
        #expect(wrong.status == 409 && wrong.text.contains("is asked now"))
        let form = "token=\(token)&workflow=leads&decision=approve"
        #expect(try await server.sendForm(decide, form).status == 200)
        // Sent once more, it is a link that was used.
        #expect(try await server.sendForm(decide, form).status == 410)
        let late = try await server.send("GET", "/approval/\(id)?token=\(unused)")
        #expect(late.status == 200 && !late.text.contains("<form"), "\(late.text)")
        #expect(late.text.contains("was for a workflow that has approved"))
        let body: JSONValue = ["decision": "approve", "token": .string(unused)]
        let program = try await server.send("POST", decide, body)
        #expect(try program.status == 409 && program.json["code"] == "other_workflow")
        #expect(try program.json["asked_workflow"] == "security")
        #expect(try await desk(server).find(id).state.votes.count == 1)
        let next = try await link(server, id, for: "kim")
        let done = try await server.sendForm(decide, "token=\(next)&decision=approve")
        #expect(done.status == 200 && done.text.contains("Approved"), "\(done.text)")
        try await server.stop()
    }
}
