import CKernels

/// The scratch memory of one worker and the kernels that run on it.
///
/// All matrices of a batch lie in one allocation, which is kept while batches fit. Each method
/// checks that its rows lie within their matrices before it calls C.
package struct EncoderArena: Sendable {
    /// The instructions in use.
    package let level: KernelLevel
    private var memory = AlignedMemory(byteCount: 0)

    /// Starts without memory.
    package init(level: KernelLevel) {
        self.level = level
    }

    /// A matrix in the arena.
    ///
    /// int8 rows have a scale, a least value and the exact values each, which lie behind the rows.
    package struct Matrix: Sendable, Equatable {
        package let rowCount: Int
        package let columnCount: Int
        package let format: MatrixFormat
        /// The first byte of row 0.
        let offset: Int

        /// Distance of rows in numbers.
        var stride: Int { format.stride(of: columnCount) }
        /// With the rows behind the last that a tile may read: it may start at any row.
        private var paddedRowCount: Int { rowCount + PRELOOP_GEMM_MOST_ROWS - 1 }
        var rowByteCount: Int { stride * format.elementByteCount }
        private var scaleByteCount: Int { 8 + exactByteCount }
        private var exactByteCount: Int { 4 * PRELOOP_GEMM_EXACT }
        private var scaleOffset: Int { offset + roundUp(paddedRowCount * rowByteCount, to: 64) }
        var end: Int {
            scaleOffset + (format == .int8 ? roundUp(scaleByteCount * paddedRowCount, to: 64) : 0)
        }

        fileprivate init(_ rows: Int, _ columns: Int, _ format: MatrixFormat, at offset: Int) {
            (rowCount, columnCount, self.format, self.offset) = (rows, columns, format, offset)
        }

        func place(of row: Int) -> Int { offset + row * rowByteCount }
        func scalePlace(of row: Int) -> Int { scaleOffset + 4 * row }
        func lowPlace(of row: Int) -> Int {
            scaleOffset + 4 * (paddedRowCount + row)
        }
        func exactPlace(of row: Int) -> Int {
            scaleOffset + 8 * paddedRowCount + exactByteCount * row
        }

        func check(_ rows: Range<Int>) {
            precondition(rows.lowerBound >= 0 && rows.upperBound <= rowCount, "rows of the matrix")
        }
    }

    /// Lays matrices one behind the other.
    package struct Layout: Sendable {
        /// Bytes so far.
        package private(set) var byteCount = 0

        package init() {}

        /// Adds a matrix whose contents are undefined.
        package mutating func add(
            rows: Int,
            columns: Int,
            format: MatrixFormat = .float32
        ) -> Matrix {
            precondition(rows > 0 && columns > 0, "a matrix has rows and columns")
            let matrix = Matrix(rows, columns, format, at: byteCount)
            byteCount = matrix.end
            return matrix
        }

        /// Adds the scratch of attention over up to `rows` rows.
        package mutating func addAttentionScratch(rows: Int, headSize: Int) -> Matrix {
            let byteCount = preloop_attention_scratch(rows, headSize)
            return add(rows: 1, columns: (byteCount + 3) / 4)
        }
    }

    /// Makes room for a layout; what the arena held may be lost.
    package mutating func reserve(_ layout: Layout) {
        if memory.byteCount < layout.byteCount {
            memory = AlignedMemory(byteCount: layout.byteCount)
        }
    }

    func floats(_ matrix: Matrix, _ row: Int) -> UnsafeMutablePointer<Float> {
        precondition(matrix.format == .float32, "floats")
        matrix.check(row..<row + 1)
        return unsafe pointer(matrix, matrix.place(of: row)).assumingMemoryBound(to: Float.self)
    }

    func pointer(_ matrix: Matrix, _ place: Int) -> UnsafeMutableRawPointer {
        precondition(matrix.end <= memory.byteCount, "room was reserved")
        return unsafe memory.pointer(at: place)
    }
}

private func roundUp(_ value: Int, to multiple: Int) -> Int {
    (value + multiple - 1) / multiple * multiple
}
