import Glibc
import NIOCore

/// Why the server could not begin.
package enum ServerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another program listens there.
    case portTaken(port: Int)
    /// The system keeps the port for others.
    case portForbidden(port: Int)
    /// No interface of the machine has the address.
    case foreignHost(host: String)
    /// Anything else, by the system's code.
    case cannotListen(code: Int32)

    /// What an attempt to listen at `address` threw.
    init(_ error: IOError, at address: HTTPServer.Address) {
        self =
            switch error.errnoCode {
            case EADDRINUSE: .portTaken(port: address.port)
            case EACCES, EPERM: .portForbidden(port: address.port)
            case EADDRNOTAVAIL: .foreignHost(host: address.host)
            default: .cannotListen(code: error.errnoCode)
            }
    }

    /// What is the matter.
    package var description: String {
        switch self {
        case .portTaken(let port): "another program listens on port \(port) already"
        case .portForbidden(let port): "this user may not listen on port \(port)"
        case .foreignHost(let host): "no interface of this machine has the address `\(host)`"
        case .cannotListen(let code): unsafe String(cString: strerror(code))
        }
    }

    /// What to do; nil when that depends.
    package var hint: String? {
        switch self {
        case .portTaken:
            "choose another port with --port, or end that program; `ss -ltnp` names it"
        case .portForbidden: "choose a port from 1024 on with --port"
        case .foreignHost: "name one of its addresses with --host; 0.0.0.0 is all of them"
        case .cannotListen: nil
        }
    }
}
