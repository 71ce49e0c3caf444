/// The hosts that an address names, in order.
struct PostgresHosts: Equatable {
    /// Where a connection goes, as libpq tells it.
    struct Place: Equatable {
        /// The host, or its numbers where only they were given.
        var name: String
        var port: String
    }

    private struct Entry: Equatable {
        var host: String
        var address: String
        var port: String

        /// What libpq says of a connection to it; 5432 is what it was built with.
        var place: Place {
            Place(name: host.isEmpty ? address : host, port: port.isEmpty ? "5432" : port)
        }
    }

    private var entries: [Entry]

    /// The hosts of an address that libpq has accepted.
    ///
    /// - Parameters:
    ///   - hosts: `host`, names separated by commas; empty where it was not given.
    ///   - addresses: `hostaddr`, as many.
    ///   - ports: `port`, as many or one for all.
    init(hosts: String, addresses: String, ports: String) {
        let names = Self.items(hosts)
        let numbers = Self.items(addresses)
        let places = Self.items(ports)
        entries = (0..<max(names.count, numbers.count)).map { index in
            Entry(
                host: index < names.count ? names[index] : "",
                address: index < numbers.count ? numbers[index] : "",
                port: places.count == 1 ? places[0] : index < places.count ? places[index] : ""
            )
        }
    }

    /// Whether the lists of an address can be such: no host has an `@`, but at the beginning, where
    /// it is a socket's, and ports are numbers.
    ///
    /// - Parameters:
    ///   - hosts: Names separated by commas.
    ///   - ports: As many or one for all; some may be empty.
    /// - Returns: False where something else has got there, as a part of a password.
    static func areClear(hosts: String, ports: String) -> Bool {
        items(hosts).allSatisfy { !$0.dropFirst().contains("@") }
            && items(ports).allSatisfy { $0.isEmpty || UInt16($0) != nil }
    }

    private static func items(_ list: String) -> [String] {
        guard !list.isEmpty else { return [] }
        return list.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    /// All but one; nil when it is none of them or no other is left.
    func without(_ place: Place) -> PostgresHosts? {
        guard let index = entries.firstIndex(where: { $0.place == place }), entries.count > 1
        else { return nil }
        var rest = self
        rest.entries.remove(at: index)
        return rest
    }

    /// What libpq is told instead of the address's own list; it takes no empty value.
    var parameters: [(keyword: String, value: String)] {
        let lists: [(keyword: String, items: [String])] = [
            ("host", entries.map(\.host)), ("hostaddr", entries.map(\.address)),
            ("port", entries.map(\.port)),
        ]
        return lists.filter { !$0.items.allSatisfy(\.isEmpty) }
            .map { (keyword: $0.keyword, value: $0.items.joined(separator: ",")) }
    }
}
