/// Where a row-major matrix lies in a span: rows may lie further apart than they are wide, so a
/// layout can describe one attention head of a wider matrix.
package struct MatrixLayout: Sendable, Equatable {
    package var rows: Int
    package var columns: Int
    /// Distance between the starts of two rows, in elements; at least `columns`.
    package var stride: Int
    /// The first element's place in the span.
    package var offset: Int

    /// Describes a matrix.
    ///
    /// - Parameters:
    ///   - rows: Not negative.
    ///   - columns: Not negative.
    ///   - stride: Distance of rows; `columns` when nil.
    ///   - offset: Elements in front of the matrix.
    package init(rows: Int, columns: Int, stride: Int? = nil, offset: Int = 0) {
        self.rows = rows
        self.columns = columns
        self.stride = stride ?? columns
        self.offset = offset
    }

    /// Stops the program unless the whole matrix lies in a span of `count` elements: C code behind
    /// these layouts checks nothing.
    func check(count: Int) {
        precondition(rows >= 0 && columns >= 0 && offset >= 0, "a matrix side is not negative")
        precondition(stride >= max(1, columns), "rows do not overlap")
        guard rows > 0, columns > 0 else { return }
        let (last, overflow) = (rows - 1).multipliedReportingOverflow(by: stride)
        precondition(!overflow && last <= count, "the matrix lies in its span")
        precondition(offset <= count - columns - last, "the matrix lies in its span")
    }
}

/// output = scale · left · right, or scale · left · rightᵀ.
package struct MatrixProduct: Sendable, Equatable {
    /// Shape `(rows, depth)`.
    package var left: MatrixLayout
    /// Shape `(depth, columns)`, or `(columns, depth)` when transposed.
    package var right: MatrixLayout
    /// Shape `(rows, columns)`.
    package var output: MatrixLayout
    package var isRightTransposed: Bool
    package var scale: Float

    /// Describes a product of matching shapes.
    package init(
        left: MatrixLayout,
        right: MatrixLayout,
        output: MatrixLayout,
        isRightTransposed: Bool,
        scale: Float = 1
    ) {
        self.left = left
        self.right = right
        self.output = output
        self.isRightTransposed = isRightTransposed
        self.scale = scale
    }
}
