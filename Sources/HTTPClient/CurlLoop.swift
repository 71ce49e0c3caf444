import Glibc
import Synchronization

/// The thread of a ``CurlClient``, and the way to it.
final class CurlLoop: Sendable {
    private enum Command {
        case start(CurlJob)
        case cancel(UInt64)
    }

    private struct Inbox {
        var commands: [Command] = []
        var nextID: UInt64 = 0
        var isStopped = false
    }

    private let configuration: CurlClient.Configuration
    private let multi: CurlMulti
    private let inbox = Mutex(Inbox())

    init(_ configuration: CurlClient.Configuration) throws(HTTPError) {
        let multi = CurlMulti(
            maximumConnectionsPerHost: configuration.maximumTransfersPerHost,
            maximumConnections: configuration.maximumTransfers
        )
        guard let multi else {
            throw .connectionFailed(host: "", reason: "libcurl cannot be initialised")
        }
        self.configuration = configuration
        self.multi = multi
    }

    /// Starts the thread, which keeps the loop alive until ``stop()``.
    func start() throws(HTTPError) {
        guard startThread({ self.run() }) else {
            throw .connectionFailed(host: "", reason: "cannot start a thread")
        }
    }

    /// Ends the thread; what is under way is cancelled.
    func stop() {
        inbox.withLock { $0.isStopped = true }
        multi.wake()
    }

    /// Makes one exchange without redirects.
    func exchange(
        _ request: HTTPRequest,
        with origin: HTTPOrigin,
        to receiver: HTTPReceiver? = nil
    ) async throws(HTTPError) -> HTTPResponse {
        guard !Task.isCancelled else { throw .cancelled }
        let id = inbox.withLock { inbox in
            inbox.nextID += 1
            return inbox.nextID
        }
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let job = CurlJob(
                    id: id,
                    request: request,
                    origin: origin,
                    receiver: receiver,
                    caller: continuation
                )
                guard post(.start(job)) else {
                    continuation.resume(returning: .failure(.cancelled))
                    return
                }
                // The handler below may have run before there was anything to cancel.
                if Task.isCancelled { _ = post(.cancel(id)) }
            }
        } onCancel: {
            _ = post(.cancel(id))
        }
        return try outcome.get()
    }

    private func post(_ command: Command) -> Bool {
        let isRunning = inbox.withLock { inbox in
            if !inbox.isStopped { inbox.commands.append(command) }
            return !inbox.isStopped
        }
        if isRunning { multi.wake() }
        return isRunning
    }

    // MARK: - On the thread

    private func run() {
        var engine = CurlEngine(multi, configuration)
        while true {
            let (commands, isStopped) = inbox.withLock { inbox in
                defer { inbox.commands = [] }
                return (inbox.commands, inbox.isStopped)
            }
            for command in commands {
                switch command {
                case .start(let job): engine.enqueue(job)
                case .cancel(let id): engine.cancel(id)
                }
            }
            guard !isStopped else { break }
            engine.turn()
        }
        engine.cancelAll()
    }
}

/// One exchange as it is handed to the thread.
struct CurlJob: Sendable {
    let id: UInt64
    let request: HTTPRequest
    let origin: HTTPOrigin
    let receiver: HTTPReceiver?
    let caller: CheckedContinuation<Result<HTTPResponse, HTTPError>, Never>
}

/// What the thread keeps: who waits, who is under way.
struct CurlEngine {
    private let multi: CurlMulti
    private let configuration: CurlClient.Configuration
    private var queue: TransferQueue
    private var waiting: [UInt64: CurlJob] = [:]
    private var active: [CurlTransfer.Key: (job: CurlJob, transfer: CurlTransfer)] = [:]

    /// Nothing depends on it; it bounds the harm of a wake-up that would ever get lost.
    private static let longestWait: Int64 = 10_000

    init(_ multi: CurlMulti, _ configuration: CurlClient.Configuration) {
        self.multi = multi
        self.configuration = configuration
        queue = TransferQueue(
            maximumPerHost: configuration.maximumTransfersPerHost,
            maximumTotal: configuration.maximumTransfers
        )
    }

    mutating func enqueue(_ job: CurlJob) {
        guard waiting.count < configuration.maximumWaiting else {
            let reason = "\(waiting.count) exchanges are waiting already"
            let error = HTTPError.connectionFailed(host: job.origin.host, reason: reason)
            job.caller.resume(returning: .failure(error))
            return
        }
        waiting[job.id] = job
        queue.append(job.id, to: job.origin)
    }

    /// Ends an exchange; one that has already ended is not there any more.
    mutating func cancel(_ id: UInt64) {
        if let job = waiting.removeValue(forKey: id) {
            queue.remove(id, from: job.origin)
            job.caller.resume(returning: .failure(.cancelled))
        } else if let key = active.first(where: { $0.value.job.id == id })?.key {
            finish(key) { _, _ in .failure(.cancelled) }
        }
    }

    mutating func cancelAll() {
        for id in Array(waiting.keys) + active.values.map(\.job.id) { cancel(id) }
    }

    /// Starts what may start, moves bytes, reports what has ended, and waits for what comes next.
    mutating func turn() {
        startWaiting()
        multi.perform()
        while let (key, code) = multi.nextResult() {
            finish(key) { job, transfer in transfer.outcome(code, url: job.request.url) }
        }
        let wait = expire(now: .now)
        // Places may have become free: do not sleep on them.
        startWaiting()
        multi.wait(milliseconds: Int32(clamping: wait))
    }

    private mutating func startWaiting() {
        while let id = queue.next() {
            guard let job = waiting.removeValue(forKey: id) else { continue }
            let transfer = CurlTransfer(
                job.request,
                origin: job.origin,
                receiver: job.receiver,
                settings: configuration
            )
            guard let transfer, multi.add(transfer) else {
                queue.finish(job.origin)
                let reason = "libcurl cannot prepare the exchange"
                let error = HTTPError.connectionFailed(host: job.origin.host, reason: reason)
                job.caller.resume(returning: .failure(error))
                continue
            }
            active[transfer.key] = (job, transfer)
        }
    }

    private mutating func finish(
        _ key: CurlTransfer.Key,
        with outcome: (CurlJob, CurlTransfer) -> Result<HTTPResponse, HTTPError>
    ) {
        guard let (job, transfer) = active.removeValue(forKey: key) else { return }
        multi.remove(transfer)
        queue.finish(job.origin)
        job.caller.resume(returning: outcome(job, transfer))
    }

    /// Ends transfers whose time is over.
    ///
    /// - Returns: Milliseconds until the next one's is.
    private mutating func expire(now: ContinuousClock.Instant) -> Int64 {
        var nearest = Self.longestWait
        for (key, entry) in active {
            let (instant, phase) = entry.transfer.deadline
            if instant <= now {
                finish(key) { job, _ in
                    .failure(.timedOut(host: job.origin.host, phase: phase))
                }
            } else {
                nearest = min(nearest, now.duration(to: instant).wholeMilliseconds)
            }
        }
        return nearest
    }
}

/// Runs `body` on a new detached thread.
///
/// All signals are blocked there: they belong to the program's own threads, and with SIGPIPE
/// blocked a peer that went away is an error of the write instead of the end of the process.
func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }
    let box = unsafe Unmanaged.passRetained(Box(body))
    var thread = pthread_t()
    let status = unsafe pthread_create(
        &thread,
        nil,
        { context in
            guard let context = unsafe context else { return nil }
            let box = unsafe Unmanaged<Box>.fromOpaque(context).takeRetainedValue()
            var signals = sigset_t()
            unsafe sigfillset(&signals)
            unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
            box.body()
            return nil
        },
        box.toOpaque()
    )
    guard status == 0 else {
        unsafe box.release()
        return false
    }
    pthread_detach(thread)
    return true
}
