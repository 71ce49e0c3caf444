import Domain
import Glibc

/// An answer to the `embeddings` call: `{"data": [{"index": 0, "embedding": […]}, …]}`.
struct EmbeddingReply {
    private let items: [JSONValue]
    private let status: Int

    init(_ body: [UInt8], status: Int) throws(EmbeddingError) {
        self.status = status
        let document: JSONValue
        do throws(JSONError) {
            document = try JSONParser.parse(body)
        } catch {
            // A cut-off document may come whole the next time.
            throw .provider(status: status, reason: "\(error)", isRetryable: true)
        }
        guard let items = document["data"]?.array else {
            let reason = "the answer has no list `data`"
            throw .provider(status: status, reason: reason, isRetryable: false)
        }
        self.items = items
    }

    /// Unit vectors in the order of the texts, which is that of `index` and not of the list.
    func vectors(count: Int, dimension: Int?) throws(EmbeddingError) -> [[Float]] {
        guard items.count == count else {
            throw invalid("\(items.count) vectors for \(count) texts")
        }
        var rows = [[Float]?](repeating: nil, count: count)
        var width = dimension
        for (place, item) in items.enumerated() {
            let index = Int(clamping: item["index"]?.integer ?? Int64(place))
            guard rows.indices.contains(index), rows[index] == nil else {
                throw invalid("the index \(index) is wrong or there twice")
            }
            let row = try Self.unit(vector(item["embedding"]), orThrow: invalid)
            guard row.count == width ?? row.count, !row.isEmpty else {
                throw invalid("a vector of dimension \(row.count) instead of \(width ?? 0)")
            }
            width = row.count
            rows[index] = row
        }
        return rows.compactMap(\.self)
    }

    private func vector(_ value: JSONValue?) throws(EmbeddingError) -> [Float] {
        switch value {
        case .array(let numbers):
            var row: [Float] = []
            row.reserveCapacity(numbers.count)
            for number in numbers {
                guard let number = number.double else { throw invalid("a vector holds no number") }
                row.append(Float(number))
            }
            return row
        case .string(let text):
            guard let row = floats(base64: text) else { throw invalid("broken Base64") }
            return row
        default: throw invalid("an item has no vector")
        }
    }

    /// Euclidean norm 1; a vector of zeros stays as it is.
    private static func unit(
        _ vector: [Float],
        orThrow invalid: (String) -> EmbeddingError
    ) throws(EmbeddingError) -> [Float] {
        let norm = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        guard norm.isFinite else { throw invalid("a vector is not finite") }
        return norm > 0 ? vector.map { Float(Double($0) / norm) } : vector
    }

    private func invalid(_ reason: String) -> EmbeddingError {
        .provider(status: status, reason: reason, isRetryable: false)
    }
}

extension EmbeddingReply {
    /// What a refusal's body says, in one short line: `error.message`, `error`, `message`,
    /// `detail`.
    static func detail(of body: [UInt8]) -> String {
        guard body.count <= 64 << 10 else { return "" }
        // A body that is no JSON is shown by its beginning instead.
        let document = try? JSONParser.parse(body)
        let message =
            document?["error"]?["message"]?.string ?? document?["error"]?.string
            ?? document?["message"]?.string ?? document?["detail"]?.string
            ?? String(decoding: body.prefix(200), as: UTF8.self)
        let scalars = message.unicodeScalars.prefix(200).map { scalar in
            // Control characters would reach a terminal.
            scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? " " : scalar
        }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        return String(text)
    }
}

/// Little-endian 32-bit floats in standard Base64 (RFC 4648, section 4); nil when it is broken.
func floats(base64 text: String) -> [Float]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count / 4 * 3)
    var bits: UInt32 = 0
    var bitCount = 0
    var padding = 0
    for byte in text.utf8 {
        let digit: UInt8
        switch byte {
        case 65...90: digit = byte - 65
        case 97...122: digit = byte - 71
        case 48...57: digit = byte + 4
        case UInt8(ascii: "+"): digit = 62
        case UInt8(ascii: "/"): digit = 63
        case UInt8(ascii: "="):
            padding += 1
            continue
        default: return nil
        }
        guard padding == 0 else { return nil }
        bits = bits << 6 | UInt32(digit)
        bitCount += 6
        if bitCount >= 8 {
            bitCount -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
            bits &= (1 << UInt32(bitCount)) - 1
        }
    }
    guard padding <= 2, bytes.count.isMultiple(of: 4) else { return nil }
    return stride(from: 0, to: bytes.count, by: 4).map { start in
        let pattern = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) }
        return Float(bitPattern: pattern)
    }
}
