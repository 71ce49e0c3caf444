/// The end of what a program writes to standard error, without its secrets, as a value.
struct ErrorTail: Sendable {
    /// What is shown of it.
    static let byteCount = 4 << 10
    /// Shorter ones would be found in any text.
    private static let shortestSecret = 4

    /// The longest first: one may be the beginning of another.
    private let secrets: [[UInt8]]
    /// More than is shown: of a secret that stands across the beginning of what is shown, all has
    /// to be there to be found.
    private var bytes: [UInt8] = []
    private var isCut = false

    init(secrets: [String]) {
        self.secrets = secrets.map { Array($0.utf8) }
            .filter { $0.count >= Self.shortestSecret }
            .sorted { $0.count > $1.count }
    }

    private var margin: Int { secrets.first?.count ?? 0 }

    /// Takes what the program has written.
    mutating func add(_ piece: ArraySlice<UInt8>) {
        bytes += piece
        let excess = bytes.count - Self.byteCount - margin
        guard excess > 0 else { return }
        bytes.removeFirst(excess)
        isCut = true
    }

    /// The latest bytes, with a mark in the place of each secret.
    var shown: [UInt8] {
        var shown: [UInt8] = []
        var place = 0
        let start = isCut ? margin : 0
        while place < bytes.count {
            let rest = bytes[place...]
            if let secret = secrets.first(where: { rest.starts(with: $0) }) {
                shown += Array("…".utf8)
                place += secret.count
            } else {
                // What is in front may be the end of a secret whose beginning is gone.
                if place >= start { shown.append(bytes[place]) }
                place += 1
            }
        }
        return shown
    }
}
