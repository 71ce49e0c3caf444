/// The buffers of one worker, grown to the largest batch so far and reused.
struct EncoderWorkspace: Sendable {
    /// Shape `(tokens, hidden)`: the layer's input, then its output.
    var hidden: [Float] = []
    /// Shape `(tokens, hidden)` each; `query` is scratch once attention is done.
    var query: [Float] = []
    var key: [Float] = []
    var value: [Float] = []
    var context: [Float] = []
    /// Shape `(tokens, intermediate)`.
    var intermediate: [Float] = []
    /// Attention scores of one head of one sequence, rows padded for the softmax.
    var scores: [Float] = []

    init() {}

    /// Makes room for a batch.
    mutating func reserve(tokens: Int, longest: Int, configuration: BERTConfiguration) {
        let narrow = tokens * configuration.hiddenSize
        Self.grow(&hidden, to: narrow)
        Self.grow(&query, to: narrow)
        Self.grow(&key, to: narrow)
        Self.grow(&value, to: narrow)
        Self.grow(&context, to: narrow)
        Self.grow(&intermediate, to: tokens * configuration.intermediateSize)
        Self.grow(&scores, to: longest * ((longest + 15) / 16 * 16))
    }

    /// Old contents are not needed, so nothing is copied.
    private static func grow(_ buffer: inout [Float], to count: Int) {
        guard buffer.count < count else { return }
        buffer = []
        buffer = Array(repeating: 0, count: count)
    }
}
