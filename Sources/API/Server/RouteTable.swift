import Domain
import HTTPTypes

/// All routes; finds the one a request means.
struct RouteTable: Sendable {
    /// What a request means.
    enum Match: Sendable {
        case route(Route, parameters: [String: String])
        /// There is the path, but not the method.
        case otherMethods([HTTPRequest.Method])
        case none
    }

    /// One step of the way down.
    private struct Node: Sendable {
        var children: [Substring: Node] = [:]
        /// The node for a part that can be anything, with its name at each route.
        var wildcard: [Node] = []
        var routes: [(route: Route, names: [String])] = []
    }

    /// Longer paths are nobody's.
    private static let maximumSegments = 16

    /// In the order they were given, which the OpenAPI document keeps.
    let routes: [Route]
    private var root = Node()

    init(_ routes: [Route]) {
        self.routes = routes
        for route in routes { Self.insert(route, route.segments[...], [], into: &root) }
    }

    private static func insert(
        _ route: Route,
        _ rest: ArraySlice<Substring>,
        _ names: [String],
        into node: inout Node
    ) {
        guard let first = rest.first else {
            precondition(
                !node.routes.contains { $0.route.method == route.method },
                "`\(route.path)` is there twice"
            )
            node.routes.append((route, names))
            return
        }
        guard first.hasPrefix("{") else {
            insert(route, rest.dropFirst(), names, into: &node.children[first, default: Node()])
            return
        }
        if node.wildcard.isEmpty { node.wildcard.append(Node()) }
        let name = String(first.dropFirst().dropLast())
        insert(route, rest.dropFirst(), names + [name], into: &node.wildcard[0])
    }

    /// The route of a request; literal parts win over named ones.
    func match(_ method: HTTPRequest.Method, _ path: some StringProtocol) -> Match {
        let text = Substring(path)
        let segments = text.split(separator: "/")
        guard text.hasPrefix("/"), segments.count <= Self.maximumSegments,
            let (node, values) = Self.find(segments[...], [], root)
        else { return .none }
        let wanted = method == .head ? .get : method
        guard let found = node.routes.first(where: { $0.route.method == wanted }) else {
            return .otherMethods(node.routes.map(\.route.method))
        }
        let pairs = zip(found.names, values)
        return .route(found.route, parameters: Dictionary(pairs, uniquingKeysWith: { $1 }))
    }

    private static func find(
        _ rest: ArraySlice<Substring>,
        _ values: [String],
        _ node: Node
    ) -> (Node, [String])? {
        guard let first = rest.first else { return node.routes.isEmpty ? nil : (node, values) }
        if let child = node.children[first], let found = find(rest.dropFirst(), values, child) {
            return found
        }
        guard let wildcard = node.wildcard.first, let value = percentDecoded(first.utf8) else {
            return nil
        }
        return find(rest.dropFirst(), values + [value], wildcard)
    }
}
