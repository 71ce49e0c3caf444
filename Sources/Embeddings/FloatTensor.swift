import LinearAlgebra

/// Float32 weights that either stay in the mapped file or were converted once, when loaded.
struct FloatTensor: Sendable {
    private enum Storage: Sendable {
        case mapped(MappedFile, offset: Int)
        case owned([Float])
    }

    let shape: [Int]
    let count: Int
    private let storage: Storage

    /// The bytes in the file when the weights stay there.
    let mappedRange: Range<Int>?

    fileprivate init(mapping tensor: SafetensorsFile.Tensor, of file: MappedFile) {
        shape = tensor.shape
        count = tensor.range.count / 4
        storage = .mapped(file, offset: tensor.range.lowerBound)
        mappedRange = tensor.range
    }

    fileprivate init(_ values: [Float], shape: [Int]) {
        self.shape = shape
        count = values.count
        storage = .owned(values)
        mappedRange = nil
    }

    /// Lends the values.
    func withSpan<Result>(_ body: (Span<Float>) -> Result) -> Result {
        switch storage {
        case .mapped(let file, let offset): file.withFloats(at: offset, count: count, body)
        case .owned(let values): body(values.span)
        }
    }

    /// Lets go of the memory of the file the weights are mapped from; they stay usable.
    func releasePages() {
        guard case .mapped(let file, _) = storage else { return }
        file.releasePages()
    }

    /// A copy of the values.
    var values: [Float] {
        withSpan { span in unsafe span.withUnsafeBufferPointer { unsafe Array($0) } }
    }
}

extension SafetensorsFile {
    /// The floats of a tensor: F32 in place when its bytes are aligned, else converted.
    ///
    /// - Parameters:
    ///   - names: Spellings of its name, the first that exists counts.
    ///   - shape: The only shape accepted.
    /// - Returns: The floats, which keep the file mapped.
    /// - Throws: ``EmbeddingError/invalidModel(path:reason:)`` when it is missing, of another
    ///   shape, or not of floating point.
    func floats(_ names: [String], shape: [Int]) throws(EmbeddingError) -> FloatTensor {
        guard let name = names.first(where: { tensors[$0] != nil }), let tensor = tensors[name]
        else {
            throw .invalidModel(path: file.path, reason: "it has no tensor `\(names[0])`")
        }
        guard tensor.shape == shape else {
            let reason = "tensor `\(name)` has shape \(tensor.shape) where \(shape) was expected"
            throw .invalidModel(path: file.path, reason: reason)
        }
        switch tensor.type {
        case .float32:
            if tensor.range.lowerBound % 4 == 0, isLittleEndian {
                return FloatTensor(mapping: tensor, of: file)
            }
            return FloatTensor(copied(tensor), shape: shape)
        case .float16:
            return FloatTensor(widened(tensor, .binary16), shape: shape)
        case .bfloat16:
            return FloatTensor(widened(tensor, .bfloat16), shape: shape)
        default:
            let reason = "tensor `\(name)` is of type \(tensor.type.rawValue), not floating point"
            throw .unsupportedModel(reason: reason)
        }
    }

    private var isLittleEndian: Bool { UInt16(1).littleEndian == 1 }

    private func widened(_ tensor: Tensor, _ format: HalfPrecision) -> [Float] {
        file.withBytes(in: tensor.range) { format.widen($0) }
    }

    private func copied(_ tensor: Tensor) -> [Float] {
        file.withBytes(in: tensor.range) { bytes in
            (0..<bytes.byteCount / 4).map { index in
                let bits = unsafe bytes.unsafeLoadUnaligned(
                    fromByteOffset: 4 * index,
                    as: UInt32.self
                )
                return Float(bitPattern: UInt32(littleEndian: bits))
            }
        }
    }
}
