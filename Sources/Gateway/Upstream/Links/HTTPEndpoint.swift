import HTTPClient
import Synchronization

/// An upstream's address: every exchange with it goes to a vetted, pinned address, with the
/// credential, and is read while it comes.
struct HTTPEndpoint: Sendable {
    /// What is read of one exchange before anybody has taken it.
    static let waitingBytes = 16 << 20
    /// Longer bodies of errors are not looked at.
    static let errorBytes = 64 << 10
    /// Whoever waits for an answer ends the wait; this ends what nobody waits for.
    static let longestCall: Duration = .seconds(3_600)
    /// A stream of notifications is opened anew after that.
    static let longestStream: Duration = .seconds(86_400)

    let url: String
    let credential: UpstreamCredential
    let transport: any HTTPStreamTransport
    let egress: EgressGuard

    /// The head of an answer.
    struct Head: Sendable {
        var status: Int
        var headers: HTTPHeaders

        /// Whether the body is a stream of events.
        var isEventStream: Bool {
            headers["Content-Type"]?.lowercased().utf8.starts(with: "text/event-stream".utf8)
                == true
        }
    }

    /// Makes an exchange.
    ///
    /// - Parameters:
    ///   - request: Without credential and address.
    ///   - consume: Given each piece of the body with the head, in order; false ends the exchange.
    /// - Returns: The head.
    /// - Throws: What went wrong, also when nothing was sent.
    func exchange(
        _ request: HTTPRequest,
        consume: (Head, [UInt8]) async throws(UpstreamError) -> Bool
    ) async throws(UpstreamError) -> Head {
        let target: EgressGuard.Target
        do throws(EgressRefusal) {
            target = try await egress.target(of: request.url)
        } catch {
            if case .unresolved(let host) = error { throw .unknownHost(host) }
            throw .forbiddenAddress(error)
        }
        switch credential {
        case .none: return try await exchange(request, target, consume)
        case .field(let field):
            return try await exchange(request.adding(field), target, consume)
        case .tokens(let tokens):
            let token = try await tokens.token()
            let head = try await exchange(request.adding(.bearer(token)), target) {
                head,
                piece throws(UpstreamError) in
                guard head.status != 401 else { return false }
                return try await consume(head, piece)
            }
            guard head.status == 401 else { return head }
            // What was refused was not done, so that it may be sent again.
            let newer = try await tokens.token(insteadOf: token)
            return try await exchange(request.adding(.bearer(newer)), target, consume)
        }
    }

    private func exchange(
        _ request: HTTPRequest,
        _ target: EgressGuard.Target,
        _ consume: (Head, [UInt8]) async throws(UpstreamError) -> Bool
    ) async throws(UpstreamError) -> Head {
        var request = request
        var failure = UpstreamError.unreachable(reason: "no address")
        for address in target.addresses.prefix(4) {
            request.pinnedAddress = address.description
            do throws(UpstreamError) {
                return try await attempt(request, consume)
            } catch .unreachable(let reason) {
                // Nothing was sent: the next address may do.
                failure = .unreachable(reason: reason)
            }
        }
        throw failure
    }

    private func attempt(
        _ request: HTTPRequest,
        _ consume: (Head, [UInt8]) async throws(UpstreamError) -> Bool
    ) async throws(UpstreamError) -> Head {
        let mailbox = ByteMailbox(limit: Self.waitingBytes)
        let head = Mutex<Head?>(nil)
        let transport = transport
        // Not a child: it is ended as soon as enough has been read, and its end waited for.
        let transfer = Task { () -> Result<HTTPResponse, HTTPError> in
            defer { mailbox.finish() }
            let receiver = HTTPReceiver(
                head: { status, headers in
                    head.withLock { $0 = Head(status: status, headers: headers) }
                },
                body: { mailbox.put($0) }
            )
            do throws(HTTPError) {
                return .success(try await transport.stream(request, to: receiver))
            } catch {
                return .failure(error)
            }
        }
        let outcome = await withTaskCancellationHandler {
            () async -> Result<Head, UpstreamError> in
            while let piece = await mailbox.next() {
                guard let head = head.withLock({ $0 }) else { break }
                do throws(UpstreamError) {
                    if try await consume(head, piece) { continue }
                    transfer.cancel()
                    return .success(head)
                } catch {
                    transfer.cancel()
                    return .failure(error)
                }
            }
            switch await transfer.value {
            case .success(let response):
                return .success(Head(status: response.status, headers: response.headers))
            case .failure(let error): return .failure(UpstreamError(error))
            }
        } onCancel: {
            transfer.cancel()
        }
        return try outcome.get()
    }
}

extension HTTPRequest {
    fileprivate func adding(_ field: HTTPField) -> HTTPRequest {
        var copy = self
        copy.headers.append(field)
        return copy
    }
}

extension HTTPField {
    /// RFC 6750, section 2.1.
    static func bearer(_ token: String) -> HTTPField {
        HTTPField("Authorization", "Bearer \(token)")
    }
}
