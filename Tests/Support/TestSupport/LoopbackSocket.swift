import Foundation

/// Sockets on 127.0.0.1 for servers that tests write.
package enum LoopbackSocket {
    /// No socket could be made.
    package struct Failure: Error {
        package var step: String
        package var errno: Int32
    }

    /// Listens on a port the system chooses.
    package static func listen(backlog: Int32) throws -> (socket: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(step: "socket", errno: errno) }
        var address = loopback(port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withGeneric(&address) { pointer in
            bind(descriptor, pointer, size) == 0 ? getsockname(descriptor, pointer, &size) : -1
        }
        guard status == 0, Glibc.listen(descriptor, backlog) == 0 else {
            defer { close(descriptor) }
            throw Failure(step: "listen", errno: errno)
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    /// A port on which connecting hangs: its queue is full and nobody accepts.
    ///
    /// - Returns: The port, and the sockets to close afterwards.
    package static func listenWithoutAccepting() throws -> (port: UInt16, sockets: [Int32]) {
        let (listener, port) = try listen(backlog: 0)
        var sockets = [listener]
        // With a backlog of 0 Linux completes one connection; the others make the queue overflow.
        for _ in 0..<4 {
            let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
            let client = socket(AF_INET, type, 0)
            guard client >= 0 else { throw Failure(step: "socket", errno: errno) }
            var address = loopback(port: port)
            let size = socklen_t(MemoryLayout<sockaddr_in>.size)
            _ = withGeneric(&address) { Glibc.connect(client, $0, size) }
            sockets.append(client)
        }
        return (port, sockets)
    }

    /// A port nobody listens on.
    package static func closedPort() throws -> UInt16 {
        let (listener, port) = try listen(backlog: 1)
        close(listener)
        return port
    }

    /// A connection to a port.
    package static func connect(to port: UInt16) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(step: "socket", errno: errno) }
        var address = loopback(port: port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard withGeneric(&address, { Glibc.connect(descriptor, $0, size) }) == 0 else {
            defer { close(descriptor) }
            throw Failure(step: "connect", errno: errno)
        }
        return descriptor
    }

    /// Sends everything; false when the peer is gone.
    package static func send(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Takes connections in on a thread of its own, until the listener is shut down or nobody wants
    /// them any more; then closes it, for its number may be reused at once.
    ///
    /// - Parameters:
    ///   - listener: What was made by ``listen(backlog:)``, or a Unix socket that listens.
    ///   - welcome: Gets each connection; false when its owner is gone, which closes it.
    package static func accept(
        on listener: Int32,
        _ welcome: @escaping @Sendable (Int32) -> Bool
    ) {
        Thread.detachNewThread {
            while true {
                let client = Glibc.accept(listener, nil, nil)
                guard client >= 0 else { break }
                guard welcome(client) else {
                    close(client)
                    break
                }
            }
            close(listener)
        }
    }

    /// Passes bytes both ways until either end is gone.
    ///
    /// - Parameters:
    ///   - client: Who asks.
    ///   - server: Who answers.
    ///   - asked: What the server gets of what the client has sent; nil ends it.
    ///   - answered: The same of the server's answer.
    package static func relay(
        _ client: Int32,
        _ server: Int32,
        asked: ([UInt8]) -> [UInt8]?,
        answered: ([UInt8]) -> [UInt8]? = { $0 }
    ) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            var waiting = [
                pollfd(fd: client, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&waiting, 2, -1) > 0 else { return }
            for (from, to) in [(0, server), (1, client)] where waiting[from].revents != 0 {
                let count = recv(waiting[from].fd, &buffer, buffer.count, 0)
                guard count > 0 else { return }
                let bytes = Array(buffer[..<count])
                guard let passed = from == 0 ? asked(bytes) : answered(bytes),
                    send(passed, to: to)
                else { return }
            }
        }
    }

    private static func loopback(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func withGeneric(
        _ address: inout sockaddr_in,
        _ body: (UnsafeMutablePointer<sockaddr>) -> Int32
    ) -> Int32 {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
        }
    }
}
