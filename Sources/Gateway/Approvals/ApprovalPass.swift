import Domain
import Firewall
import Store

/// What a client is given with the page of an approval, and brings back with the same call.
///
/// It travels sealed: clients neither read nor make one, and one of another account does not open.
/// It gives no right, for an approved call is known by its digest; but whoever brings back what is
/// none of theirs is told so, in place of being held anew.
struct ApprovalPass: Sendable, Equatable {
    /// The request for approval.
    var request: String
    /// Who was given it.
    var caller: String
    /// The call that it was given for.
    var call: [UInt8]
    /// Of no use from then on: neither is the request open, nor its approval good.
    var expiresAt: Timestamp

    /// What passes begin with; tools' servers have other states.
    private static let prefix = "preloop-approval-"
    /// More bytes than any pass has.
    private static let maximumBytes = 4_096

    /// The pass that comes back with a call; nil where it brings none.
    static func text(in inputs: JSONObject) -> String? {
        guard let state = inputs["requestState"]?.string,
            state.utf8.starts(with: prefix.utf8)
        else { return nil }
        return state
    }

    /// The digest of a call by which it is known again, whatever its policy is by then.
    static func digest(
        of tool: String,
        _ arguments: JSONObject,
        by caller: Caller
    ) throws(CanonicalJSONError) -> [UInt8] {
        try CallBinding(
            tool: tool,
            definition: .null,
            arguments: arguments,
            principal: caller.name,
            policyVersion: 0
        ).digest()
    }

    /// The text that a client is given.
    func sealed(by box: SecretBox, account: AccountID) throws(StoreError) -> String {
        let document: JSONValue = [
            "request": .string(request), "caller": .string(caller),
            "call": .string(hexadecimal(call)), "expires": .integer(expiresAt.milliseconds),
        ]
        let sealed = try box.seal(
            bytes: document.serialized(),
            for: .approvalState(account: account)
        )
        return Self.prefix + hexadecimal(sealed.bytes)
    }

    /// Opens what a client brings back; nil when it is none of ours.
    init?(_ text: String, box: SecretBox, account: AccountID) {
        guard text.utf8.count <= Self.maximumBytes, text.utf8.starts(with: Self.prefix.utf8),
            let bytes = decodedHexadecimal(text.utf8.dropFirst(Self.prefix.utf8.count)),
            // Why it does not open is nothing for whoever made it.
            let opened = try? box.openBytes(
                SealedSecret(bytes: bytes),
                for: .approvalState(account: account)
            ),
            let document = try? JSONParser.parse(opened),
            let request = document["request"]?.string, let caller = document["caller"]?.string,
            let call = document["call"]?.string.flatMap({ decodedHexadecimal($0.utf8) }),
            let expires = document["expires"]?.integer
        else { return nil }
        self.init(
            request: request,
            caller: caller,
            call: call,
            expiresAt: Timestamp(milliseconds: expires)
        )
    }

    init(request: String, caller: String, call: [UInt8], expiresAt: Timestamp) {
        self.request = request
        self.caller = caller
        self.call = call
        self.expiresAt = expiresAt
    }

    /// Why it does not go with a call; nil when it does.
    func fault(for call: [UInt8], by caller: Caller, at now: Timestamp) -> String? {
        if !haveEqualBytes(self.caller, caller.name) {
            return "`requestState` was given to another caller; call again without it"
        }
        if self.call != call {
            return "`requestState` belongs to another call; call again without it"
        }
        if expiresAt <= now {
            return "`requestState` has expired; call again without it to ask anew"
        }
        return nil
    }
}

extension ApprovalDesk {
    /// The pass of a request for the client that made the call.
    func pass(for request: ApprovalRequest, _ call: [UInt8], by caller: Caller) throws -> String {
        // Open for the time of each workflow, once more when it is escalated, and good for a while
        // when approved.
        let seconds = request.state.workflows.reduce(0) { $0 + $1.timeoutSeconds }
        let open = Duration.seconds(2 * seconds)
        let expiresAt = request.row.request.requestedAt.advanced(by: open + limits.grant)
        return try ApprovalPass(
            request: request.id,
            caller: caller.name,
            call: call,
            expiresAt: expiresAt
        ).sealed(by: box(), account: store.account)
    }

    /// Why a pass that comes back with a call is not honoured; nil when it is.
    func fault(of pass: String, for call: [UInt8], by caller: Caller) throws -> String? {
        guard let opened = ApprovalPass(pass, box: try box(), account: store.account) else {
            return "`requestState` is not one that was given here; call again without it"
        }
        return opened.fault(for: call, by: caller, at: store.clock.now())
    }
}
