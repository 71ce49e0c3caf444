import Domain

/// A memory-mapped safetensors file whose header was checked against the file before anything is
/// read.
///
/// Layout: eight bytes header length (little-endian), a JSON object from tensor name to `{dtype,
/// shape, data_offsets}`, then the data. As the format demands, tensors neither overlap nor leave
/// holes and the last ends with the file, so a truncated file is found without reading it.
package struct SafetensorsFile: Sendable {
    /// Element types the format knows.
    package enum ElementType: String, Sendable {
        case bool = "BOOL"
        case float8E4M3 = "F8_E4M3"
        case float8E5M2 = "F8_E5M2"
        case int8 = "I8"
        case uint8 = "U8"
        case bfloat16 = "BF16"
        case float16 = "F16"
        case int16 = "I16"
        case uint16 = "U16"
        case float32 = "F32"
        case int32 = "I32"
        case uint32 = "U32"
        case float64 = "F64"
        case int64 = "I64"
        case uint64 = "U64"

        /// Bytes of one element.
        package var byteCount: Int {
            switch self {
            case .bool, .float8E4M3, .float8E5M2, .int8, .uint8: 1
            case .bfloat16, .float16, .int16, .uint16: 2
            case .float32, .int32, .uint32: 4
            case .float64, .int64, .uint64: 8
            }
        }
    }

    /// One tensor's place.
    package struct Tensor: Sendable, Equatable {
        package let type: ElementType
        package let shape: [Int]
        /// Bytes from the start of the file.
        package let range: Range<Int>
    }

    /// The tensors by name.
    package let tensors: [String: Tensor]
    /// Length field, header and padding: where the data starts.
    package let dataOffset: Int
    let file: MappedFile

    /// A large model's header has a hundred bytes for each of a thousand tensors.
    static let maximumHeaderByteCount = 8 << 20
    static let maximumTensorCount = 1 << 14
    /// More dimensions than any tensor of a network has.
    static let maximumRank = 8

    /// Maps and checks the file at `path`.
    ///
    /// - Throws: ``EmbeddingError`` when it is missing or anything in its header is wrong.
    package init(path: String) throws(EmbeddingError) {
        file = try MappedFile(path: path)
        (tensors, dataOffset) = try Self.parseHeader(of: file)
    }

    private static func parseHeader(
        of file: MappedFile
    ) throws(EmbeddingError) -> ([String: Tensor], dataOffset: Int) {
        guard file.byteCount >= 8 else { throw invalid(file, "it ends inside its first field") }
        let length = file.withBytes(in: 0..<8) { bytes in
            unsafe UInt64(littleEndian: bytes.unsafeLoadUnaligned(as: UInt64.self))
        }
        guard length >= 2, length <= UInt64(maximumHeaderByteCount) else {
            throw invalid(file, "a header of \(length) bytes is not plausible")
        }
        let dataOffset = 8 + Int(length)
        guard dataOffset <= file.byteCount else {
            throw invalid(file, "it ends inside its header, at byte \(file.byteCount)")
        }
        let bytes = file.withBytes(in: 8..<dataOffset) { bytes in
            unsafe bytes.withUnsafeBytes { unsafe Array($0) }
        }
        let header: JSONValue
        do throws(JSONError) {
            header = try JSONParser.parse(bytes)
        } catch {
            throw invalid(file, "header: \(error)")
        }
        guard let members = header.object?.members else {
            throw invalid(file, "the header is not an object")
        }
        guard members.count <= maximumTensorCount else {
            throw invalid(file, "more than \(maximumTensorCount) tensors")
        }
        var tensors: [String: Tensor] = [:]
        for member in members where member.key != "__metadata__" {
            let tensor = try tensor(member, in: file, dataOffset: dataOffset)
            guard tensors.updateValue(tensor, forKey: member.key) == nil else {
                throw invalid(file, "the tensor `\(member.key)` is there twice")
            }
        }
        try checkTiling(tensors, of: file, dataOffset: dataOffset)
        return (tensors, dataOffset)
    }

    private static func tensor(
        _ member: JSONObject.Member,
        in file: MappedFile,
        dataOffset: Int
    ) throws(EmbeddingError) -> Tensor {
        let name = String(member.key.prefix(120))
        guard let typeName = member.value["dtype"]?.string,
            let type = ElementType(rawValue: typeName)
        else { throw invalid(file, "tensor `\(name)` has no known dtype") }
        guard let sides = member.value["shape"]?.array, sides.count <= maximumRank else {
            throw invalid(file, "tensor `\(name)` has no usable shape")
        }
        guard let offsets = member.value["data_offsets"]?.array, offsets.count == 2,
            let first = offsets[0].integer, let last = offsets[1].integer, first >= 0, first <= last
        else { throw invalid(file, "tensor `\(name)` has no usable offsets") }
        guard last <= Int64(file.byteCount - dataOffset) else {
            throw invalid(
                file,
                "it is cut off: tensor `\(name)` ends behind byte \(file.byteCount)"
            )
        }
        var shape: [Int] = []
        var byteCount = type.byteCount
        for side in sides {
            guard let side = side.integer, side >= 0, let side = Int(exactly: side) else {
                throw invalid(file, "tensor `\(name)` has no usable shape")
            }
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: side)
            guard !overflow else { throw invalid(file, "tensor `\(name)` is too large") }
            byteCount = product
            shape.append(side)
        }
        guard Int64(byteCount) == last - first else {
            throw invalid(file, "tensor `\(name)` needs \(byteCount) bytes, has \(last - first)")
        }
        return Tensor(
            type: type,
            shape: shape,
            range: dataOffset + Int(first)..<dataOffset + Int(last)
        )
    }

    /// Throws unless the tensors, in order of place, cover the data without overlap or hole.
    private static func checkTiling(
        _ tensors: [String: Tensor],
        of file: MappedFile,
        dataOffset: Int
    ) throws(EmbeddingError) {
        var end = dataOffset
        let ordered = tensors.values.map(\.range).sorted {
            ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound)
        }
        for range in ordered {
            guard range.lowerBound >= end else { throw invalid(file, "two tensors overlap") }
            guard range.lowerBound == end else {
                throw invalid(file, "bytes \(end)..<\(range.lowerBound) belong to no tensor")
            }
            end = range.upperBound
        }
        guard end == file.byteCount else {
            throw invalid(file, "\(file.byteCount - end) bytes follow the last tensor")
        }
    }

    private static func invalid(_ file: MappedFile, _ reason: String) -> EmbeddingError {
        .invalidModel(path: file.path, reason: reason)
    }
}
