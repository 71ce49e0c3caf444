/// Why a request to an address that a user has set is not made.
package enum EgressRefusal: Error, Sendable, Equatable {
    /// Not an http or https URL of the plain form, or one with user information.
    case unusableURL
    /// A host written in a way that programs read differently.
    case unusualHost(String)
    /// A name for machines of this network.
    case internalName(String)
    /// An address that is not of the public Internet.
    case internalAddress(host: String, address: String)
    /// The name stands for no address, or was not answered for in time.
    case unresolved(String)
}

extension EgressRefusal: CustomStringConvertible {
    /// One line: what, and how an operator allows it.
    package var description: String {
        switch self {
        case .unusableURL: "the URL must be a plain http or https one, without user name"
        case .unusualHost(let host): "the host `\(host)` is not written in the usual form"
        case .internalName(let host): "`\(host)` is a name of the local network"
        case .internalAddress(let host, let address):
            host == address
                ? "`\(address)` is not an address of the public Internet"
                : "`\(host)` leads to \(address), which is not an address of the public Internet"
        case .unresolved(let host): "the host `\(host)` is not known"
        }
    }

    /// Whether an operator can allow it by naming the host or its network.
    package var isAllowable: Bool {
        switch self {
        case .internalName, .internalAddress: true
        case .unusableURL, .unusualHost, .unresolved: false
        }
    }
}

/// Lets requests to addresses that users set go to the public Internet only, and to what the
/// operator has named (server-side request forgery).
///
/// A name is looked up once; every address it stands for must be allowed, and the connection is
/// made to one of them, so that a second answer of the name service changes nothing.
package struct EgressGuard: Sendable {
    /// What a URL leads to.
    package struct Target: Sendable, Equatable {
        package var origin: HTTPOrigin
        /// Allowed, in the order to be tried; never empty.
        package var addresses: [IPAddress]
    }

    /// Networks that are allowed besides the public Internet.
    package var networks: [AddressRange]
    /// Host names that are allowed whatever they lead to, in lower case.
    package var hosts: Set<String>
    /// Looks a name up.
    package var resolve: @Sendable (String) async -> [IPAddress]

    /// - Parameters:
    ///   - allowed: Networks (`10.0.0.0/8`), addresses and host names, as the operator wrote them.
    ///   - resolve: Looks a name up; the system's way when left out.
    package init(
        allowing allowed: [String] = [],
        resolve: @escaping @Sendable (String) async -> [IPAddress] = AddressLookup.addresses
    ) {
        networks = allowed.compactMap(AddressRange.init)
        hosts = Set(allowed.filter { AddressRange($0) == nil }.map { $0.lowercased() })
        self.resolve = resolve
    }

    /// What a URL leads to; throws when anything about it is not allowed.
    package func target(of url: String) async throws(EgressRefusal) -> Target {
        let (origin, literal) = try Self.inspect(url)
        if let literal {
            guard allows(literal) else {
                throw .internalAddress(host: literal.description, address: literal.description)
            }
            return Target(origin: origin, addresses: [literal])
        }
        let name = Self.withoutFinalDot(origin.host)
        let isNamed = hosts.contains(name)
        if !isNamed, networks.isEmpty, Self.isInternalName(name) { throw .internalName(name) }
        let addresses = await resolve(name)
        guard !addresses.isEmpty else { throw .unresolved(name) }
        if !isNamed, let bad = addresses.first(where: { !allows($0) }) {
            throw .internalAddress(host: name, address: bad.description)
        }
        // Version 4 first: a machine without a version 6 route refuses at once, or never.
        let ordered = addresses.filter(\.isVersion4) + addresses.filter { !$0.isVersion4 }
        return Target(origin: origin, addresses: ordered)
    }

    /// What can be said of a URL without asking anybody: whether it may be stored at all.
    package func check(_ url: String) throws(EgressRefusal) {
        let (origin, literal) = try Self.inspect(url)
        if let literal, !allows(literal) {
            throw .internalAddress(host: literal.description, address: literal.description)
        }
        let name = Self.withoutFinalDot(origin.host)
        if literal == nil, !hosts.contains(name), networks.isEmpty, Self.isInternalName(name) {
            throw .internalName(name)
        }
    }

    /// Whether connections to an address may be made.
    package func allows(_ address: IPAddress) -> Bool {
        Self.isPublic(address) || networks.contains { $0.contains(address) }
            || hosts.contains(address.description)
    }

    // MARK: - Hosts

    /// The origin, and the address when the host is one.
    private static func inspect(_ url: String) throws(EgressRefusal) -> (HTTPOrigin, IPAddress?) {
        // A backslash is a path separator to some programs and none to others.
        guard url.utf8.count <= 2_048, !url.utf8.contains(UInt8(ascii: "\\")),
            let origin = HTTPOrigin(of: url)
        else { throw .unusableURL }
        let host = origin.host
        if host.hasPrefix("[") {
            guard host.hasSuffix("]"), let address = IPAddress(String(host.dropFirst().dropLast())),
                !address.isVersion4
            else { throw .unusualHost(host) }
            return (origin, address)
        }
        if let address = IPAddress(host) { return (origin, address) }
        guard isName(withoutFinalDot(host)) else { throw .unusualHost(host) }
        return (origin, nil)
    }

    private static func withoutFinalDot(_ host: String) -> String {
        host.hasSuffix(".") ? String(host.dropLast()) : host
    }

    /// A name of the domain name system whose last label is no number: `0x7f.1`, `127.1` and
    /// `2130706433` are addresses to some programs.
    private static func isName(_ host: String) -> Bool {
        guard (1...253).contains(host.utf8.count) else { return false }
        let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let areLabels = labels.allSatisfy { label in
            (1...63).contains(label.count)
                && label.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte)
                        || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                }
        }
        guard areLabels, let last = labels.last else { return false }
        let isNumber = last.allSatisfy { (0x30...0x39).contains($0) }
        let isHexadecimal =
            last.starts(with: "0x".utf8)
            && last.dropFirst(2).allSatisfy {
                (0x30...0x39).contains($0) || (0x61...0x66).contains($0)
            }
        return !isNumber && !isHexadecimal
    }

    /// Names that mean this machine or its network wherever they are looked up (RFC 6761, 6762,
    /// 8375), and those of clouds' metadata.
    private static func isInternalName(_ name: String) -> Bool {
        let labels = name.split(separator: ".")
        let endings: Set<Substring> = [
            "localhost", "local", "localdomain", "internal", "intranet", "lan", "corp", "home",
            "private", "onion",
        ]
        // A name without a dot is completed by the resolver's search list.
        return labels.count < 2 || labels.last.map(endings.contains) == true
            || name.hasSuffix("home.arpa")
    }

    // MARK: - Addresses

    /// Ranges of IANA's special-purpose registries, and of what carries version 4 inside version 6.
    private static let special4 = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    ].compactMap(AddressRange.init)
    /// Within `2000::/3`, outside of which nothing is public.
    private static let special6 = [
        "2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20",
    ].compactMap(AddressRange.init)

    /// Whether an address is one of the public Internet.
    package static func isPublic(_ address: IPAddress) -> Bool {
        guard !address.isVersion4 else {
            return !special4.contains { $0.contains(address) }
        }
        guard address.bytes[0] & 0xE0 == 0x20 else { return false }
        // ISATAP holds a version 4 address behind 0:5efe or 200:5efe (RFC 5214).
        let holdsVersion4 =
            address.bytes[8] & 0xFD == 0 && address.bytes[9] == 0 && address.bytes[10] == 0x5E
            && address.bytes[11] == 0xFE
        return !holdsVersion4 && !special6.contains { $0.contains(address) }
    }
}
