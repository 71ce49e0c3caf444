import Crypto
package import Domain
package import Firewall

/// Workflows of a policy one by one; each has an identifier made of its name.
extension PolicyEntries {
    /// The identifier of a workflow.
    package static func identifier(of workflow: PolicyDocument.Workflow) -> String {
        identifier(ofWorkflow: workflow.name)
    }

    /// The identifier of the workflow of a name, whether there is one or not.
    package static func identifier(ofWorkflow name: String) -> String {
        hexadecimal(SHA256.hash(data: Array("workflow\u{0}\(name)".utf8)).prefix(8))
    }

    /// The place of a workflow.
    package static func place(
        ofWorkflow id: String,
        in document: PolicyDocument
    ) throws(PolicyError) -> Int {
        guard let place = document.workflows.firstIndex(where: { identifier(of: $0) == id }) else {
            throw .unknownEntry(id: id)
        }
        return place
    }

    /// Adds a workflow.
    package static func add(
        _ workflow: PolicyDocument.Workflow,
        to document: inout PolicyDocument
    ) throws(PolicyError) -> String {
        let id = identifier(of: workflow)
        guard !document.workflows.contains(where: { identifier(of: $0) == id }) else {
            throw .duplicate(name: workflow.name)
        }
        document.workflows.append(workflow)
        return id
    }

    /// Puts a workflow in the place of another; gives the identifier of what is there then.
    package static func update(
        workflow id: String,
        to workflow: PolicyDocument.Workflow,
        in document: inout PolicyDocument
    ) throws(PolicyError) -> String {
        let place = try place(ofWorkflow: id, in: document)
        let new = identifier(of: workflow)
        guard new == id || !document.workflows.contains(where: { identifier(of: $0) == new })
        else { throw .duplicate(name: workflow.name) }
        document.workflows[place] = workflow
        return new
    }

    /// A workflow as a policy's file would say it.
    package static func workflow(
        _ json: JSONValue
    ) throws(PolicyError) -> PolicyDocument.Workflow {
        let document: JSONValue = ["metadata": ["name": "entry"], "approval_workflows": [json]]
        var outside = PolicySurroundings()
        // Names are looked for in the whole policy, when the workflow is in it.
        outside.trustsNames = true
        let reading = PolicyDocument.read(document.serializedText(), outside: outside)
        guard let workflow = reading.document?.workflows.first else {
            let problems = reading.problems.map { problem in
                var problem = problem
                // The place is one of a text that nobody has seen.
                problem.position = nil
                return problem
            }
            throw .invalid(problems)
        }
        return workflow
    }
}
