/// In which numbers the encoder's matrix products run.
package enum EncodingPrecision: String, Sendable, CaseIterable {
    /// The reference.
    case float32
    /// Cosine to float32 above 0.9999; on machines without its instructions the same as float32.
    case bfloat16
    /// Cosine to float32 above 0.997, 0.999 on average, at three times the speed of float32.
    case int8
}
