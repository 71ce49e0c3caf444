import Domain
import Glibc

/// A process, told apart from every other one that ever had or will have its number.
///
/// A process identifier means something only together with the boot, the process namespace
/// (container) and the start time. Only when boot and namespace are our own can a missing process
/// be called dead; for all others a lease has to expire.
package struct LeaseHolder: Sendable, Hashable {
    /// For people only: several machines may have one name.
    package var host: String
    /// Changes with every start of the machine.
    package var bootID: String
    /// The process namespace as `/proc/self/ns/pid` names it.
    package var namespace: String
    /// The process identifier within its namespace.
    package var processID: Int32
    /// Clock ticks between boot and the start of the process.
    package var startTicks: Int64
    /// Tells tasks of one process apart that hold leases at once; 0 for the process itself.
    package var task: Int32 = 0

    /// All properties but the task, in their order.
    package init(
        host: String,
        bootID: String,
        namespace: String,
        processID: Int32,
        startTicks: Int64
    ) {
        self.host = host
        self.bootID = bootID
        self.namespace = namespace
        self.processID = processID
        self.startTicks = startTicks
    }

    /// This process.
    package static func current() -> LeaseHolder {
        var name = [CChar](repeating: 0, count: 256)
        let host =
            unsafe gethostname(&name, name.count - 1) == 0
            ? String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            : "localhost"
        let processID = getpid()
        return LeaseHolder(
            host: host.filter { $0 != " " },
            bootID: Self.currentBootID,
            namespace: Self.currentNamespace,
            processID: processID,
            startTicks: Self.startTicks(of: processID) ?? 0
        )
    }

    /// Whether the process certainly does not run any more.
    package var isKnownDead: Bool {
        guard !bootID.isEmpty, bootID == Self.currentBootID,
            namespace != Self.unknownNamespace, namespace == Self.currentNamespace
        else { return false }
        guard kill(processID, 0) == 0 || errno != ESRCH else { return true }
        // A zombie still has its number, but holds nothing; a reused number has another start time.
        guard let ticks = Self.startTicks(of: processID) else { return false }
        return ticks != startTicks || Self.isZombie(processID)
    }

    /// The form that is stored.
    package var text: String {
        "\(processID)\(task == 0 ? "" : "/\(task)") \(startTicks) \(bootID) \(namespace) \(host)"
    }

    /// Reads the stored form; nil for anything else.
    package init?(text: String) {
        let parts = text.split(separator: " ", maxSplits: 4, omittingEmptySubsequences: false)
        guard parts.count == 5, let ticks = Int64(parts[1]) else { return nil }
        let numbers = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard numbers.count <= 2, let processID = Int32(numbers[0]),
            let task = numbers.count == 2 ? Int32(numbers[1]) : 0
        else { return nil }
        self.init(
            host: String(parts[4]),
            bootID: String(parts[2]),
            namespace: String(parts[3]),
            processID: processID,
            startTicks: ticks
        )
        self.task = task
    }

    /// Where /proc does not tell; never equal to another process's.
    private static let unknownNamespace = "-"

    private static var currentBootID: String {
        firstLine(of: "/proc/sys/kernel/random/boot_id")
    }

    private static var currentNamespace: String {
        var buffer = [CChar](repeating: 0, count: 128)
        let count = unsafe readlink("/proc/self/ns/pid", &buffer, buffer.count)
        guard count > 0 else { return unknownNamespace }
        return String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Field 22 of proc_pid_stat(5).
    private static func startTicks(of processID: Int32) -> Int64? {
        let fields = statusFields(of: processID)
        return fields.count > 19 ? Int64(fields[19]) : nil
    }

    /// Field 3 of proc_pid_stat(5).
    private static func isZombie(_ processID: Int32) -> Bool {
        let state = statusFields(of: processID).first
        return state == "Z" || state == "X"
    }

    /// The fields from the third on: the second, the program's name, may hold spaces and brackets.
    private static func statusFields(of processID: Int32) -> [Substring] {
        let line = firstLine(of: "/proc/\(processID)/stat")
        guard let end = line.lastIndex(of: ")") else { return [] }
        return line[line.index(after: end)...].split(separator: " ")
    }

    private static func firstLine(of path: String) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return "" }
        return String(decoding: buffer.prefix(count).prefix { $0 != 10 }, as: UTF8.self)
    }
}

extension LeaseHolder: CustomStringConvertible {
    /// What an operator needs to find the process.
    package var description: String { "process \(processID) on \(host)" }
}
