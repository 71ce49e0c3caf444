/// A parsed expression; macros are expanded already.
final class Expression: Sendable {
    /// What it is.
    enum Kind: Sendable {
        case literal(CELValue)
        /// A name; `isAbsolute` when a dot stands before it.
        case identifier(String, isAbsolute: Bool)
        case select(Expression, field: String, isOptional: Bool)
        /// `has(operand.field)`.
        case presence(Expression, field: String)
        case call(String, target: Expression?, arguments: [Expression])
        /// Operands of a chain of `&&` or `||`; two at least.
        case and([Expression])
        case or([Expression])
        case conditional(Expression, Expression, Expression)
        case list([Element])
        case map([Entry])
        /// A message literal, which is parsed but never has a value: there are no messages here.
        case message(String)
        case comprehension(Comprehension)
        /// `cel.bind`: the value is computed when it is first used.
        case bind(String, value: Expression, body: Expression)
        /// `cel.block`: values known as `@index0`, `@index1`, each computed when first used.
        case block([Expression], body: Expression)
        /// `optMap` and, when `isFlat`, `optFlatMap`.
        case optionalMap(Expression, variable: String, body: Expression, isFlat: Bool)
    }

    /// An element of a list literal.
    struct Element: Sendable {
        let value: Expression
        /// Whether the value is an optional that, being none, leaves the element out.
        let isOptional: Bool
    }

    /// An entry of a map literal.
    struct Entry: Sendable {
        let key: Expression
        let value: Expression
        let isOptional: Bool
    }

    /// A macro over the elements of a list or map.
    struct Comprehension: Sendable {
        enum Kind: Sendable {
            case all, exists, existsOne, map, filter, transformList, transformMap
            case transformMapEntry
        }

        let kind: Kind
        let range: Expression
        /// The element of a list or the key of a map; with a second variable the index or key.
        let first: String
        /// With two variables the element or value.
        let second: String?
        /// What an element must satisfy to be taken.
        let filter: Expression?
        let body: Expression
    }

    let kind: Kind
    let position: SourcePosition
    /// How many expressions stand in one another at most, this one included.
    let height: Int
    /// How many expressions it is made of.
    let size: Int

    init(_ kind: Kind, _ position: SourcePosition) {
        self.kind = kind
        self.position = position
        let children = Self.children(of: kind)
        height = 1 + (children.map(\.height).max() ?? 0)
        size = children.reduce(1) { $0 + $1.size }
    }

    /// The expressions it is directly made of, in reading order.
    static func children(of kind: Kind) -> [Expression] {
        switch kind {
        case .literal, .identifier, .message: []
        case .select(let operand, _, _), .presence(let operand, _): [operand]
        case .call(_, let target, let arguments): (target.map { [$0] } ?? []) + arguments
        case .and(let operands), .or(let operands): operands
        case .conditional(let condition, let left, let right): [condition, left, right]
        case .list(let elements): elements.map(\.value)
        case .map(let entries): entries.flatMap { [$0.key, $0.value] }
        case .comprehension(let each):
            [each.range, each.body] + (each.filter.map { [$0] } ?? [])
        case .bind(_, let value, let body): [value, body]
        case .block(let values, let body): values + [body]
        case .optionalMap(let target, _, let body, _): [target, body]
        }
    }

    /// The name `a.b.c` when this is nothing but names, with whether a dot stands before it.
    var qualifiedName: (name: String, isAbsolute: Bool)? {
        switch kind {
        case .identifier(let name, let isAbsolute): return (name, isAbsolute)
        case .select(let operand, let field, false):
            guard let (name, isAbsolute) = operand.qualifiedName else { return nil }
            return ("\(name).\(field)", isAbsolute)
        default: return nil
        }
    }
}
