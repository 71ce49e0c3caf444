/// The network extension: IP addresses and ranges of them.
enum NetworkFunctions {
    private typealias AddressTest = @Sendable (NetworkAddress) -> Bool

    static func register(in library: inout FunctionLibrary) {
        library.declare(
            """
            ip(string): IP
            isIP(string): bool
            ip::isCanonical(string): bool
            cidr(string): CIDR
            isCIDR(string): bool
            IP.family(): int
            CIDR.ip(): IP
            CIDR.masked(): CIDR
            CIDR.prefixLength(): int
            CIDR.containsIP(IP): bool
            CIDR.containsIP(string): bool
            CIDR.containsCIDR(CIDR): bool
            CIDR.containsCIDR(string): bool
            """
        )
        library.function(
            "ip",
            .unary { value, _ throws(EvaluationError) in
                .address(try address(try text(value)))
            }
        )
        library.function(
            "cidr",
            .unary { value, _ throws(EvaluationError) in
                .network(try network(try text(value)))
            }
        )
        library.function(
            "isIP",
            .unary { value, _ throws(EvaluationError) in
                let text = try text(value)
                return .bool(NetworkAddress(text).map { !isDottedMapped($0, text) } ?? false)
            }
        )
        library.function(
            "isCIDR",
            .unary { value, _ throws(EvaluationError) in
                let text = try text(value)
                return .bool(NetworkRange(text).map { !isDottedMapped($0.address, text) } ?? false)
            }
        )
        library.function(
            "ip.isCanonical",
            .unary { value, _ throws(EvaluationError) in
                let text = try text(value)
                return .bool(try address(text).description == text)
            }
        )
        addressMethods(in: &library)
        rangeMethods(in: &library)
    }

    private static func addressMethods(in library: inout FunctionLibrary) {
        let tests: [(String, AddressTest)] = [
            ("isUnspecified", { $0.isUnspecified }), ("isLoopback", { $0.isLoopback }),
            ("isGlobalUnicast", { $0.isGlobalUnicast }),
            ("isLinkLocalMulticast", { $0.isLinkLocalMulticast }),
            ("isLinkLocalUnicast", { $0.isLinkLocalUnicast }),
        ]
        for (name, test) in tests {
            library.declare("IP.\(name)(): bool")
            library.method(
                name,
                .unary { value, _ throws(EvaluationError) in
                    guard case .address(let address) = value else {
                        throw EvaluationError(.noSuchOverload)
                    }
                    return .bool(test(address))
                }
            )
        }
        library.method(
            "family",
            .unary { value, _ throws(EvaluationError) in
                guard case .address(let address) = value else {
                    throw EvaluationError(.noSuchOverload)
                }
                return .int(Int64(address.version))
            }
        )
    }

    private static func rangeMethods(in library: inout FunctionLibrary) {
        library.method(
            "ip",
            .unary { value, _ throws(EvaluationError) in
                .address(try range(value).address)
            }
        )
        library.method(
            "masked",
            .unary { value, _ throws(EvaluationError) in
                .network(try range(value).masked)
            }
        )
        library.method(
            "prefixLength",
            .unary { value, _ throws(EvaluationError) in
                .int(Int64(try range(value).length))
            }
        )
        library.method(
            "containsIP",
            .binary { value, other, _ throws(EvaluationError) in
                let range = try range(value)
                switch other {
                case .address(let address): return .bool(range.contains(address))
                case .string(let text): return .bool(range.contains(try address(text)))
                default: throw EvaluationError(.noSuchOverload)
                }
            }
        )
        library.method(
            "containsCIDR",
            .binary { value, other, _ throws(EvaluationError) in
                let range = try range(value)
                switch other {
                case .network(let network): return .bool(range.contains(network))
                case .string(let text): return .bool(range.contains(try network(text)))
                default: throw EvaluationError(.noSuchOverload)
                }
            }
        )
    }

    private static func text(_ value: CELValue) throws(EvaluationError) -> String {
        guard case .string(let text) = value else { throw EvaluationError(.noSuchOverload) }
        return text
    }

    private static func range(_ value: CELValue) throws(EvaluationError) -> NetworkRange {
        guard case .network(let range) = value else { throw EvaluationError(.noSuchOverload) }
        return range
    }

    private static func address(_ text: String) throws(EvaluationError) -> NetworkAddress {
        guard let address = NetworkAddress(text) else {
            throw failure("IP address", text)
        }
        try refuseMapped(address, text)
        return address
    }

    private static func network(_ text: String) throws(EvaluationError) -> NetworkRange {
        guard let range = NetworkRange(text) else { throw failure("CIDR", text) }
        try refuseMapped(range.address, text)
        return range
    }

    /// Whether an address of version 4 is dressed as one of version 6: `::ffff:10.0.0.1`.
    private static func isDottedMapped(_ address: NetworkAddress, _ text: String) -> Bool {
        address.isMapped && text.utf8.contains(UInt8(ascii: "."))
    }

    private static func refuseMapped(
        _ address: NetworkAddress,
        _ text: String
    ) throws(EvaluationError) {
        guard !isDottedMapped(address, text) else {
            throw EvaluationError(.invalidArgument("an IPv4-mapped IPv6 address is not allowed"))
        }
    }

    private static func failure(_ what: String, _ text: String) -> EvaluationError {
        EvaluationError(.invalidArgument("`\(text.prefix(60))` is no \(what)"))
    }
}
