/// The requests that the endpoint is serving, with whom each comes from.
struct OpenRequests {
    /// Numbers them.
    typealias ID = Int

    private struct Entry {
        var principal: Principal
        var outlet: Outlet
    }

    private var entries: [ID: Entry] = [:]
    private var last = 0

    /// Everybody whose requests they are.
    var principals: Set<Principal> { Set(entries.values.map(\.principal)) }

    /// Adds one.
    mutating func add(_ outlet: Outlet, of principal: Principal) -> ID {
        last += 1
        entries[last] = Entry(principal: principal, outlet: outlet)
        return last
    }

    /// Forgets one that has been served.
    mutating func remove(_ id: ID) { entries[id] = nil }

    /// Where the answers of some go.
    func outlets(of principals: Set<Principal>) -> [Outlet] {
        entries.values.filter { principals.contains($0.principal) }.map(\.outlet)
    }
}
