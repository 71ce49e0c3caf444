package import Domain
package import HTTPClient

/// An answer that holds a list, cut into its elements but not parsed, so that one bad element does
/// not cost the others.
package struct TrackerList: Sendable {
    package var response: HTTPResponse
    /// The elements' places in the response's body; empty when the status was an accepted refusal.
    package var elements: [Range<Int>]
    /// The document around the list, the list left empty; `[]` when the list is the document.
    package var envelope: JSONValue
    /// The query that was answered: the page size may have been lowered on the way.
    package var query: QueryString

    /// The bytes of one element as received.
    package func raw(_ element: Range<Int>) -> [UInt8] {
        Array(response.body[element])
    }
}

extension TrackerList {
    /// Cuts a complete document at the array that `path` leads to.
    ///
    /// - Throws: `JSONError` when the document is cut off or has no such array; what is wrong
    ///   inside an element does not matter here.
    init(
        response: HTTPResponse,
        at path: [String],
        query: QueryString
    ) throws(JSONError) {
        let body = response.body
        let elements = try JSONParser.elementRanges(in: body, at: path)
        var frame = body
        if let first = elements.first, let last = elements.last {
            frame.removeSubrange(first.lowerBound..<last.upperBound)
        }
        // The frame is small and must be whole: this is what notices a cut after the array.
        envelope = try JSONParser.parse(frame)
        self.response = response
        self.elements = elements
        self.query = query
    }
}
