/// The largest absolute values of each channel in front of a block's four products.
struct ActivationExtents: Sendable {
    var input: [Float]
    var context: [Float]
    var attended: [Float]
    var activated: [Float]

    /// Texts whose activations stand for those of all texts: what issues, commits and logs look
    /// like, and the empty text, whose two special tokens have activations of their own.
    ///
    /// Outliers are the same few channels in every text, so 150 tokens find them; more did not make
    /// vectors better (DESIGN.md).
    static let sampleTexts = [
        "",
        "Crash when opening a large file twice",
        "TypeError: cannot read property 'length' of undefined at render (src/list.js:42:17)",
        "As a user I want to export my report as PDF so that I can send it to a customer.",
        "fix(api): return 404 instead of 500 for unknown ids, closes #1234",
        "thanks, works for me on Ubuntu 22.04 with version 3.1.0-beta",
        "Memory usage grows to 8 GB after two days; heap dump and logs are attached below.",
        "```\n$ make test\nerror: undefined reference to `foo_init'\n```",
        "Über 50 % der Anfragen schlagen fehl, siehe https://example.org/a?b=c",
    ]

    /// The column-wise maximum of absolute values in the first `rows` rows.
    static func columns(of values: [Float], width: Int, rows: Int) -> [Float] {
        var extents = [Float](repeating: 0, count: width)
        for row in 0..<rows {
            for column in 0..<width {
                extents[column] = max(extents[column], abs(values[row * width + column]))
            }
        }
        return extents
    }
}

extension BERTEncoder {
    /// What the activations of a batch are like, one value a block.
    func activationExtents(_ ids: [Int32], lengths: [Int]) -> [ActivationExtents] {
        var workspace = EncoderWorkspace()
        workspace.reserve(
            tokens: ids.count,
            longest: lengths.max() ?? 0,
            configuration: configuration
        )
        let (rows, width) = (ids.count, configuration.hiddenSize)
        embed(ids, lengths: lengths, workspace: &workspace)
        return weights.layers.map { layer in
            let input = ActivationExtents.columns(of: workspace.hidden, width: width, rows: rows)
            attend(layer, lengths: lengths, workspace: &workspace)
            let context = ActivationExtents.columns(
                of: workspace.context,
                width: width,
                rows: rows
            )
            let attended = ActivationExtents.columns(
                of: workspace.hidden,
                width: width,
                rows: rows
            )
            feedForward(layer, rows: rows, workspace: &workspace)
            return ActivationExtents(
                input: input,
                context: context,
                attended: attended,
                activated: ActivationExtents.columns(
                    of: workspace.intermediate,
                    width: configuration.intermediateSize,
                    rows: rows
                )
            )
        }
    }
}
