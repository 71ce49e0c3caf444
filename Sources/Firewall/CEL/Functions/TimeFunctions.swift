/// Parts of timestamps and durations.
enum TimeFunctions {
    /// A part of a wall time.
    private typealias Part = @Sendable (CivilTime) -> Int64

    /// What a duration answers to the same name.
    private typealias SpanPart = @Sendable (CELDuration) -> Int64

    static func register(in library: inout FunctionLibrary) {
        let parts: [(String, Part)] = [
            ("getFullYear", { $0.year }),
            ("getMonth", { $0.month - 1 }),
            ("getDate", { $0.day }),
            ("getDayOfMonth", { $0.day - 1 }),
            ("getDayOfWeek", { $0.dayOfWeek }),
            ("getDayOfYear", { $0.dayOfYear }),
            ("getHours", { $0.hour }),
            ("getMinutes", { $0.minute }),
            ("getSeconds", { $0.second }),
        ]
        let spans: [String: SpanPart] = [
            "getHours": { $0.seconds / 3_600 },
            "getMinutes": { $0.seconds / 60 },
            "getSeconds": { $0.seconds },
        ]
        for (name, part) in parts {
            library.declare("timestamp.\(name)(): int\ntimestamp.\(name)(string): int")
            if spans[name] != nil { library.declare("duration.\(name)(): int") }
            add(name, part, span: spans[name], to: &library)
        }
        library.declare(
            """
            timestamp.getMilliseconds(): int
            timestamp.getMilliseconds(string): int
            duration.getMilliseconds(): int
            """
        )
        library.method("getMilliseconds", .unary(milliseconds))
        library.method(
            "getMilliseconds",
            .binary { value, zone, budget throws(EvaluationError) in
                _ = try civil(value, in: zone)
                return try milliseconds(value, &budget)
            }
        )
    }

    private static func add(
        _ name: String,
        _ part: @escaping Part,
        span: SpanPart?,
        to library: inout FunctionLibrary
    ) {
        library.method(
            name,
            .unary { value, _ throws(EvaluationError) in
                switch value {
                case .timestamp(let time): return .int(part(CivilTime(seconds: time.seconds)))
                case .duration(let duration):
                    guard let span else { throw EvaluationError(.noSuchOverload) }
                    return .int(span(duration))
                default: throw EvaluationError(.noSuchOverload)
                }
            }
        )
        library.method(
            name,
            .binary { value, zone, _ throws(EvaluationError) in
                .int(part(try civil(value, in: zone)))
            }
        )
    }

    /// The wall time in a place.
    private static func civil(
        _ value: CELValue,
        in zone: CELValue
    ) throws(EvaluationError) -> CivilTime {
        guard case .timestamp(let time) = value, case .string(let name) = zone else {
            throw EvaluationError(.noSuchOverload)
        }
        guard let offset = TimeZoneDatabase.offset(of: name, at: time.seconds) else {
            throw EvaluationError(.invalidArgument("unknown time zone `\(name.prefix(40))`"))
        }
        return CivilTime(seconds: time.seconds + offset)
    }

    @Sendable private static func milliseconds(
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        switch value {
        case .timestamp(let time): return .int(Int64(time.nanoseconds) / 1_000_000)
        case .duration(let span): return .int(span.milliseconds)
        default: throw EvaluationError(.noSuchOverload)
        }
    }
}
