package import Domain

/// A list: values, or the elements of a JSON array that are converted when they are read.
package enum CELList: Sendable {
    case values([CELValue])
    case json([JSONValue])

    /// How many elements there are.
    package var count: Int {
        switch self {
        case .values(let values): values.count
        case .json(let elements): elements.count
        }
    }

    /// The element at `index`, which must be in range.
    package subscript(index: Int) -> CELValue {
        switch self {
        case .values(let values): values[index]
        case .json(let elements): CELValue(elements[index])
        }
    }

    /// All elements, converted one level deep.
    package var elements: [CELValue] {
        switch self {
        case .values(let values): values
        case .json(let elements): elements.map(CELValue.init)
        }
    }
}
