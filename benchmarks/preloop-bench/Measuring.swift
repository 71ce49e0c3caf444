import Glibc

/// Clocks, percentiles and the one line that a measurement prints.
enum Measuring {
    /// Processor seconds of the whole process that `body` takes.
    static func cpuSeconds(_ body: () throws -> Void) rethrows -> Double {
        try seconds(CLOCK_PROCESS_CPUTIME_ID, body)
    }

    /// Seconds on the wall that `body` takes.
    static func wallSeconds(_ body: () throws -> Void) rethrows -> Double {
        try seconds(CLOCK_MONOTONIC, body)
    }

    private static func seconds(_ clock: clockid_t, _ body: () throws -> Void) rethrows -> Double {
        var start = timespec()
        var end = timespec()
        unsafe clock_gettime(clock, &start)
        try body()
        unsafe clock_gettime(clock, &end)
        return Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) / 1e9
    }

    /// The value below which a share of the values lie.
    static func percentile(_ values: [Double], _ share: Double) -> Double {
        guard !values.isEmpty else { return 0 }
        return values.sorted()[Int(Double(values.count - 1) * share)]
    }

    /// Bytes of the process that are in memory now.
    static func residentBytes() -> Int {
        guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
        defer { unsafe fclose(file) }
        var buffer = [CChar](repeating: 0, count: 256)
        guard unsafe fgets(&buffer, Int32(buffer.count), file) != nil else { return 0 }
        let text = String(
            decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// Name of the processor.
    static let machine: String = {
        guard let file = unsafe fopen("/proc/cpuinfo", "r") else { return "unknown" }
        defer { unsafe fclose(file) }
        var buffer = [CChar](repeating: 0, count: 4096)
        while unsafe fgets(&buffer, Int32(buffer.count), file) != nil {
            let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
            let line = String(decoding: bytes, as: UTF8.self)
            if line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") {
                return String(line[line.index(colon, offsetBy: 2)...])
            }
        }
        return "unknown"
    }()
}

/// One line of output: names and values in the order in which they were added.
struct MeasurementLine {
    private var text: String

    /// Begins the line of a measurement.
    init(_ benchmark: String, _ options: VectorOptions, count: Int) {
        let file = options.basePath.split(separator: "/").last.map(String.init) ?? ""
        text = "{\"lib\":\"preloop\",\"benchmark\":\"\(benchmark)\""
        add("machine", Measuring.machine)
        add("unix_time", Int(time(nil)))
        add("data", file)
        add("n", count)
        add("dim", options.dimension)
        add("m", options.m)
        add("ef_construction", options.construction)
        add("threads", options.threads)
        add("lengths", options.keepsLengths ? "given" : "unit")
    }

    /// Adds a text.
    mutating func add(_ name: String, _ value: String) {
        let safe = value.filter { $0 != "\"" && $0 != "\\" && !$0.isNewline }
        text += ",\"\(name)\":\"\(safe)\""
    }

    /// Adds a whole number.
    mutating func add(_ name: String, _ value: Int) {
        text += ",\"\(name)\":\(value)"
    }

    /// Adds a number, to four decimals.
    mutating func add(_ name: String, _ value: Double) {
        text += ",\"\(name)\":\((value * 10_000).rounded() / 10_000)"
    }

    /// Ends the line and prints it.
    consuming func print() {
        Swift.print(text + "}")
        fflush(nil)
    }
}
