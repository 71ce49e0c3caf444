import CCurl
import Glibc

/// libcurl's multi handle: all transfers of a client on one thread.
///
/// Its sendability is unchecked, safe because only ``wake()`` is called from other threads, and
/// `curl_multi_wakeup` is the one function libcurl allows there; everything else runs on the
/// client's thread, and the handle is freed with the last reference, when that thread has ended.
@safe final class CurlMulti: @unchecked Sendable {
    private let handle: UnsafeMutableRawPointer

    /// Runs once in the process, before any other use of libcurl.
    static let isInitialized =
        curl_global_init(Int(CURL_GLOBAL_SSL | CURL_GLOBAL_WIN32)) == CURLE_OK

    /// Fails only when memory or the TLS library is not to be had.
    init?(maximumConnectionsPerHost: Int, maximumConnections: Int) {
        guard Self.isInitialized, let made = unsafe curl_multi_init() else { return nil }
        unsafe handle = unsafe made
        let settings = [
            (CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX)),
            (CURLMOPT_MAX_HOST_CONNECTIONS, maximumConnectionsPerHost),
            (CURLMOPT_MAX_TOTAL_CONNECTIONS, maximumConnections),
            (CURLMOPT_MAXCONNECTS, maximumConnections),
        ]
        for (option, value) in settings {
            unsafe preloop_curl_multi_setopt_long(handle, option, value)
        }
    }

    deinit {
        unsafe curl_multi_cleanup(handle)
    }

    /// Ends a ``wait(milliseconds:)`` from any thread, also one that has not begun yet.
    func wake() {
        unsafe curl_multi_wakeup(handle)
    }

    /// Waits for sockets, libcurl's own timers, ``wake()``, or the time given.
    func wait(milliseconds: Int32) {
        unsafe curl_multi_poll(handle, nil, 0, milliseconds, nil)
    }

    /// Lets transfers do what they can without waiting.
    func perform() {
        var running: Int32 = 0
        unsafe curl_multi_perform(handle, &running)
    }

    /// The next transfer that has ended, with libcurl's verdict; nil when there is no more.
    func nextResult() -> (transfer: CurlTransfer.Key, code: CURLcode)? {
        var left: Int32 = 0
        while let message = unsafe curl_multi_info_read(handle, &left) {
            guard unsafe message.pointee.msg == CURLMSG_DONE,
                let easy = unsafe message.pointee.easy_handle
            else { continue }
            let key = unsafe CurlTransfer.Key(easy)
            return (key, unsafe preloop_curl_message_result(message))
        }
        return nil
    }

    /// Starts a transfer; the caller keeps it alive until ``remove(_:)``.
    func add(_ transfer: CurlTransfer) -> Bool {
        unsafe curl_multi_add_handle(handle, transfer.handle) == CURLM_OK
    }

    /// Ends a transfer's part in this; its connection is kept for others when it is still good.
    func remove(_ transfer: CurlTransfer) {
        unsafe curl_multi_remove_handle(handle, transfer.handle)
    }
}

/// One exchange: libcurl's easy handle, and what came of it so far.
///
/// Lives on the client's thread.
@safe final class CurlTransfer {
    /// Finds a transfer by its handle.
    struct Key: Hashable {
        private let address: UInt

        init(_ handle: UnsafeMutableRawPointer) {
            address = UInt(bitPattern: handle)
        }
    }

    let handle: UnsafeMutableRawPointer
    let origin: HTTPOrigin
    private let limits: HTTPLimits
    private let errorText: UnsafeMutablePointer<CChar>
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var connectList: UnsafeMutablePointer<curl_slist>?
    /// What is to be sent piece by piece, and how much of it has been.
    private var upload: (bytes: [UInt8], sent: Int) = ([], 0)
    private let receiver: HTTPReceiver?
    /// Bytes of the body that a receiver has been given.
    private var givenCount = 0
    private var isHeadGiven = false
    private var head = ResponseHead()
    private var body: [UInt8] = []
    /// What we ended the transfer for, in place of libcurl's "the callback failed".
    private var refusal: HTTPError?
    private let start: ContinuousClock.Instant
    private var lastActivity: ContinuousClock.Instant?
    private var uploaded: curl_off_t = 0
    private var downloaded: curl_off_t = 0

    /// Prepares an exchange whose parts have been checked.
    ///
    /// Fails only when libcurl has no memory or lacks an option we cannot do without.
    init?(
        _ request: HTTPRequest,
        origin: HTTPOrigin,
        receiver: HTTPReceiver?,
        settings: CurlClient.Configuration
    ) {
        guard let made = unsafe curl_easy_init() else { return nil }
        unsafe handle = unsafe made
        self.origin = origin
        self.receiver = receiver
        limits = request.limits
        start = .now
        unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        unsafe headerList = nil
        unsafe connectList = nil
        do {
            try apply(settings)
            try apply(request)
            try setCallbacks()
        } catch {
            return nil
        }
    }

    deinit {
        unsafe curl_easy_cleanup(handle)
        unsafe curl_slist_free_all(headerList)
        unsafe curl_slist_free_all(connectList)
        unsafe errorText.deallocate()
    }

    var key: Key { unsafe Key(handle) }

    /// When this ends by itself unless something happens before, and for which reason.
    var deadline: (instant: ContinuousClock.Instant, phase: HTTPError.TimeoutPhase) {
        let total = start.advanced(by: limits.totalTimeout)
        guard let lastActivity else { return (total, .total) }
        let idle = lastActivity.advanced(by: limits.idleTimeout)
        return idle < total ? (idle, .idle) : (total, .total)
    }

    /// The outcome of an exchange that libcurl has ended with `code`.
    func outcome(_ code: CURLcode, url: String) -> Result<HTTPResponse, HTTPError> {
        if let refusal { return .failure(refusal) }
        guard code == CURLE_OK else { return .failure(error(code)) }
        // libcurl takes a connection's end inside the head for the end of an answer without body.
        guard head.isComplete else {
            return .failure(.connectionLost(host: origin.host, reason: "the header is cut off"))
        }
        let status = unsafe preloop_curl_getinfo_long(handle, CURLINFO_RESPONSE_CODE)
        guard (100...999).contains(status) else {
            return .failure(.invalidResponse(host: origin.host, reason: "no status"))
        }
        let headers = HTTPHeaders(head.fields)
        return .success(
            HTTPResponse(status: status, headers: headers, body: body, effectiveURL: url)
        )
    }

    // MARK: - Events

    fileprivate func didConnect() {
        lastActivity = .now
    }

    fileprivate func didReceiveHeader(_ line: UnsafeBufferPointer<UInt8>) -> Bool {
        lastActivity = .now
        do throws(ResponseHead.Refusal) {
            try unsafe head.receive(line)
            giveHead()
            return true
        } catch {
            let reason =
                switch error {
                case .tooManyBytes(let limit): "more than \(limit) bytes of header"
                case .tooManyFields(let limit): "more than \(limit) header lines"
                }
            refusal = .invalidResponse(host: origin.host, reason: reason)
            return false
        }
    }

    /// A receiver hears of the final response's head as soon as it is whole.
    private func giveHead() {
        guard let receiver, head.isComplete, !isHeadGiven else { return }
        let status = unsafe preloop_curl_getinfo_long(handle, CURLINFO_RESPONSE_CODE)
        guard status >= 200 else { return }
        isHeadGiven = true
        receiver.head(status, HTTPHeaders(head.fields))
    }

    fileprivate func didReceiveBody(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let limit = limits.maximumResponseByteCount
        if let receiver {
            guard bytes.count <= limit - givenCount else {
                refusal = .responseTooLarge(host: origin.host, limit: limit)
                return false
            }
            givenCount += bytes.count
            guard unsafe receiver.body(Array(bytes)) else {
                refusal = .invalidResponse(host: origin.host, reason: "more than could be taken")
                return false
            }
            return true
        }
        guard bytes.count <= limit - body.count else {
            refusal = .responseTooLarge(host: origin.host, limit: limit)
            return false
        }
        unsafe body.append(contentsOf: bytes)
        return true
    }

    /// Bytes that are still compressed, or go up, are activity too.
    fileprivate func didProgress(downloaded: curl_off_t, uploaded: curl_off_t) {
        guard downloaded != self.downloaded || uploaded != self.uploaded else { return }
        self.downloaded = downloaded
        self.uploaded = uploaded
        lastActivity = .now
    }
}

// MARK: - Options

/// An option libcurl does not take: out of memory, or built without the feature.
private struct OptionRefused: Error {}

extension CurlTransfer {
    private func set(_ option: CURLoption, _ value: Int) throws(OptionRefused) {
        guard unsafe preloop_curl_setopt_long(handle, option, value) == CURLE_OK else {
            throw OptionRefused()
        }
    }

    private func set(_ option: CURLoption, _ value: String) throws(OptionRefused) {
        guard unsafe preloop_curl_setopt_text(handle, option, value) == CURLE_OK else {
            throw OptionRefused()
        }
    }

    private func apply(_ settings: CurlClient.Configuration) throws(OptionRefused) {
        unsafe preloop_curl_set_error_buffer(handle, errorText)
        try set(CURLOPT_PROTOCOLS_STR, "http,https")
        // Signals belong to the program; a resolver that hangs must not hold up the other
        // transfers.
        try set(CURLOPT_NOSIGNAL, 1)
        try set(CURLOPT_QUICK_EXIT, 1)
        // HTTP/2 where TLS negotiates it, and the handshake awaited to share such a connection.
        // Without TLS libcurl would wait for the first answer, however slow, to learn that it
        // cannot.
        try set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
        try set(CURLOPT_PIPEWAIT, origin.scheme == "https" ? 1 : 0)
        // Every encoding libcurl was built with: gzip, br, zstd.
        try set(CURLOPT_ACCEPT_ENCODING, "")
        // `%2F` and `..` are sent as they are: project names hold slashes.
        try set(CURLOPT_PATH_AS_IS, 1)
        // Credentials come from the request alone.
        try set(CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue))
        // Redirects are followed by ``CurlClient``, which knows what may be shown to whom.
        try set(CURLOPT_FOLLOWLOCATION, 0)
        try set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        try set(CURLOPT_TCP_KEEPALIVE, 1)
        try set(CURLOPT_USERAGENT, settings.userAgent)
        if let file = settings.certificateFile { try set(CURLOPT_CAINFO, file) }
        if let folder = settings.certificateFolder { try set(CURLOPT_CAPATH, folder) }
    }

    private func apply(_ request: HTTPRequest) throws(OptionRefused) {
        try set(CURLOPT_URL, request.url)
        if !request.mayReuseConnection { try set(CURLOPT_FRESH_CONNECT, 1) }
        let connect = request.limits.connectTimeout.wholeMilliseconds
        try set(CURLOPT_CONNECTTIMEOUT_MS, Int(max(1, connect)))
        // An empty value takes away a header libcurl would add by itself: no waiting for `100
        // Continue`, no form content type.
        var lines = ["Expect:"]
        switch (request.method, request.body) {
        case ("GET", nil): try set(CURLOPT_HTTPGET, 1)
        case ("HEAD", nil): try set(CURLOPT_NOBODY, 1)
        case (let method, nil) where method != "POST" && method != "PUT" && method != "PATCH":
            try set(CURLOPT_CUSTOMREQUEST, method)
        case (let method, let body):
            try setBody(body ?? [], isSentOnce: request.isSentOnce)
            try set(CURLOPT_CUSTOMREQUEST, method)
            lines.append("Content-Type:")
        }
        for field in request.headers {
            if field.name.lowercased() == "content-type" {
                lines.removeAll { $0 == "Content-Type:" }
            }
            // libcurl spells a header without value with a semicolon.
            lines.append(field.value.isEmpty ? "\(field.name);" : "\(field.name): \(field.value)")
        }
        for line in lines {
            guard let longer = unsafe curl_slist_append(headerList, line) else {
                throw OptionRefused()
            }
            unsafe headerList = longer
        }
        unsafe preloop_curl_set_headers(handle, headerList)
        if let address = request.pinnedAddress { try pin(to: address) }
    }

    private func pin(to address: String) throws(OptionRefused) {
        // A proxy of the environment would be the one that connects, to where it thinks right.
        try set(CURLOPT_PROXY, "")
        let shown = address.utf8.contains(UInt8(ascii: ":")) ? "[\(address)]" : address
        let rule = "\(origin.host):\(origin.port):\(shown):\(origin.port)"
        guard let list = unsafe curl_slist_append(nil, rule) else { throw OptionRefused() }
        unsafe connectList = list
        guard unsafe preloop_curl_set_connect_to(handle, list) == CURLE_OK else {
            throw OptionRefused()
        }
    }

    private func setBody(_ body: [UInt8], isSentOnce: Bool) throws(OptionRefused) {
        let size = curl_off_t(body.count)
        unsafe preloop_curl_setopt_offset(handle, CURLOPT_POSTFIELDSIZE_LARGE, size)
        guard !isSentOnce else {
            upload = (body, 0)
            let code = unsafe preloop_curl_set_reader(
                handle,
                { bytes, size, room, context in
                    guard let bytes = unsafe bytes else { return 0 }
                    return unsafe CurlTransfer.at(context)?.give(bytes, size * room) ?? 0
                },
                Unmanaged.passUnretained(self).toOpaque()
            )
            guard code == CURLE_OK else { throw OptionRefused() }
            return
        }
        let code = unsafe body.withUnsafeBytes { bytes in
            unsafe preloop_curl_set_body(handle, bytes.baseAddress)
        }
        guard code == CURLE_OK else { throw OptionRefused() }
    }

    /// Puts the next piece of the body where libcurl wants it.
    private func give(_ space: UnsafeMutablePointer<CChar>, _ room: Int) -> Int {
        let count = min(room, upload.bytes.count - upload.sent)
        for place in 0..<count {
            unsafe space[place] = CChar(bitPattern: upload.bytes[upload.sent + place])
        }
        upload.sent += count
        return count
    }

    /// The context is this transfer, which outlives its handle's callbacks: libcurl calls them only
    /// inside ``CurlMulti/perform()``, and the loop holds the transfer from adding to removal.
    private func setCallbacks() throws(OptionRefused) {
        var callbacks = unsafe preloop_curl_callbacks()
        unsafe callbacks.context = Unmanaged.passUnretained(self).toOpaque()
        unsafe callbacks.header = { bytes, size, count, context in
            unsafe CurlTransfer.consume(bytes, size * count, context) {
                unsafe $0.didReceiveHeader($1)
            }
        }
        unsafe callbacks.body = { bytes, size, count, context in
            unsafe CurlTransfer.consume(bytes, size * count, context) {
                unsafe $0.didReceiveBody($1)
            }
        }
        unsafe callbacks.progress = { context, _, downloaded, _, uploaded in
            unsafe CurlTransfer.at(context)?
                .didProgress(downloaded: downloaded, uploaded: uploaded)
            return 0
        }
        unsafe callbacks.connected = { context, _, _, _, _ in
            unsafe CurlTransfer.at(context)?.didConnect()
            return Int32(CURL_PREREQFUNC_OK)
        }
        guard unsafe preloop_curl_set_callbacks(handle, callbacks) == CURLE_OK else {
            throw OptionRefused()
        }
    }

    private static func at(_ context: UnsafeMutableRawPointer?) -> CurlTransfer? {
        unsafe context.map {
            unsafe Unmanaged<CurlTransfer>.fromOpaque($0).takeUnretainedValue()
        }
    }

    /// Any other number than the one given ends the transfer.
    private static func consume(
        _ bytes: UnsafeMutablePointer<CChar>?,
        _ count: Int,
        _ context: UnsafeMutableRawPointer?,
        _ receive: (CurlTransfer, UnsafeBufferPointer<UInt8>) -> Bool
    ) -> Int {
        guard let transfer = unsafe at(context), let bytes = unsafe bytes else { return 0 }
        return unsafe bytes.withMemoryRebound(to: UInt8.self, capacity: count) { start in
            unsafe receive(transfer, UnsafeBufferPointer(start: start, count: count)) ? count : -1
        }
    }
}

// MARK: - Errors

extension CurlTransfer {
    /// libcurl's verdict in our words.
    private func error(_ code: CURLcode) -> HTTPError {
        let host = origin.host
        let reason = reason(code)
        switch code {
        case CURLE_URL_MALFORMAT: return .invalidURL(url: host)
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            return .nameNotResolved(host: host)
        case CURLE_OPERATION_TIMEDOUT:
            // The connect limit is the only one libcurl watches; the others are ours.
            return .timedOut(host: host, phase: .connect)
        case CURLE_SSL_CONNECT_ERROR where isReset:
            return .connectionLost(host: host, reason: reason)
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_CIPHER, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR,
            CURLE_SSL_CRL_BADFILE, CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_ENGINE_SETFAILED,
            CURLE_SSL_ENGINE_INITFAILED, CURLE_SSL_PINNEDPUBKEYNOTMATCH,
            CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CLIENTCERT, CURLE_USE_SSL_FAILED:
            return .tlsFailed(host: host, reason: reason)
        case CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR,
            CURLE_HTTP2, CURLE_HTTP2_STREAM, CURLE_AGAIN, CURLE_SSL_SHUTDOWN_FAILED:
            return .connectionLost(host: host, reason: reason)
        case CURLE_BAD_CONTENT_ENCODING, CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL,
            CURLE_WRITE_ERROR:
            return .invalidResponse(host: host, reason: reason)
        default: return .connectionFailed(host: host, reason: reason)
        }
    }

    private var isReset: Bool {
        let number = unsafe preloop_curl_getinfo_long(handle, CURLINFO_OS_ERRNO)
        return number == Int(ECONNRESET) || number == Int(EPIPE)
    }

    private func reason(_ code: CURLcode) -> String {
        let detail = unsafe String(cString: errorText)
        return detail.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : detail
    }
}

extension Duration {
    /// Rounded up, so that a wait never ends before its time.
    var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        let fraction = (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return min(max(seconds, 0), 1 << 40) * 1000 + fraction
    }
}
