import Dispatch
import Glibc

/// The system's way from names to addresses.
package enum AddressLookup {
    /// A name service that has not answered by then will not be waited for.
    private static let limit: Duration = .seconds(10)
    /// Names stand for a handful of addresses; more are not looked at, and refused for it.
    private static let maximum = 64
    /// Lookups block; so many at a time, or a name service that hangs would take all threads.
    private static let queue = DispatchQueue(label: "preloop.lookup", attributes: .concurrent)
    private static let places = DispatchSemaphore(value: 16)

    /// The addresses of a name; none when there are none, too many, or no answer in time.
    package static func addresses(of name: String) async -> [IPAddress] {
        let (answers, continuation) = AsyncStream.makeStream(of: [IPAddress].self)
        queue.async {
            places.wait()
            defer { places.signal() }
            continuation.yield(lookUp(name))
            continuation.finish()
        }
        return await withTaskGroup(of: [IPAddress].self) { group in
            group.addTask {
                for await answer in answers { return answer }
                return []
            }
            group.addTask {
                // Cancelled when there is an answer.
                try? await Task.sleep(for: limit)
                return []
            }
            defer { group.cancelAll() }
            return await group.next() ?? []
        }
    }

    private static func lookUp(_ name: String) -> [IPAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { unsafe freeaddrinfo(list) }
        var found: [IPAddress] = []
        var next = unsafe list
        while let entry = unsafe next, found.count <= maximum {
            if let address = unsafe address(entry.pointee), !found.contains(address) {
                found.append(address)
            }
            unsafe next = unsafe entry.pointee.ai_next
        }
        return found.count <= maximum ? found : []
    }

    private static func address(_ entry: addrinfo) -> IPAddress? {
        guard let socket = unsafe entry.ai_addr else { return nil }
        switch unsafe entry.ai_family {
        case AF_INET:
            return unsafe socket.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { place in
                var number = unsafe place.pointee.sin_addr
                return unsafe withUnsafeBytes(of: &number) { IPAddress(bytes: unsafe Array($0)) }
            }
        case AF_INET6:
            return unsafe socket.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { place in
                var number = unsafe place.pointee.sin6_addr
                return unsafe withUnsafeBytes(of: &number) { IPAddress(bytes: unsafe Array($0)) }
            }
        default: return nil
        }
    }
}
