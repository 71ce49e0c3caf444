/// What strangers may take of the server, each with its reason.
package struct ServerLimits: Sendable, Equatable {
    /// Open connections: below the usual 65,536 descriptors, and 4,000 slow ones leave room.
    package var connections = 4_096
    /// Of one address; no fewer, for a proxy in front brings everybody from one.
    package var connectionsPerAddress = 1_024
    /// Requests served side by side, streams of events included; more are told to come back.
    package var requests = 2_048
    /// From a new connection to its first whole head: a slow mobile line needs two.
    package var headTime: Duration = .seconds(15)
    /// Between two requests of a connection; clients' pools keep theirs for 60 to 90 seconds.
    package var idleTime: Duration = .seconds(75)
    /// From a head to its whole body, before what ``bodyBytesPerSecond`` adds.
    package var bodyTime: Duration = .seconds(20)
    /// A body may take longer by this rate; a trickle of single bytes wins nothing.
    package var bodyBytesPerSecond = 16_384
    /// For how long a client may read nothing of its answer.
    package var writeStallTime: Duration = .seconds(30)
    /// For how long a stream of an MCP session stays open before its client is told to come back:
    /// longer than calls take, and less than the hour after which unused sessions end.
    package var streamTime: Duration = .seconds(600)
    /// Answers that clients have not taken, all together: a thousand slow readers of the greatest
    /// document there is for strangers, or some dozens of the greatest answers.
    package var unreadBytes = 256 << 20
    /// A body, where its route says nothing else: a policy has a megabyte at most.
    package var bodyBytes = 2 << 20
    /// All bodies together that are held for clients without a credential: sixteen deliveries of
    /// the greatest size, thousands of the usual one.
    package var openBodyBytes = 64 << 20
    /// All bodies together that are held for those who are signed in: sixty-four of the greatest
    /// size, and what is made of them while they are read is some times as much.
    package var bodyBytesInAll = 256 << 20
    /// Of them for one user: one key alone must not keep the others waiting.
    package var bodyBytesOfUser = 32 << 20
    /// Answers under an `Idempotency-Key` that are kept of one user: one each nine seconds for the
    /// day that they are kept.
    package var keptAnswers = 10_000
    /// All of them together; most have some hundred bytes.
    package var keptAnswerBytes = 64 << 20
    /// All header lines of a request: cookies and tokens have some kilobytes.
    package var headBytes = 32 << 10
    /// For how long requests under way may go on when the server stops.
    package var drainTime: Duration = .seconds(10)

    package init() {}
}
