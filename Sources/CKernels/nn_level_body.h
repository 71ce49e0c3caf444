// The kernels of ckernels_nn.h for one set of instructions: kernels_nn.c includes this once for
// each, and says by LEVEL which.

#define JOIN_(name, level) name##_##level
#define JOIN(name, level) JOIN_(name, level)
#define FN(name) JOIN(name, LEVEL)

static void FN(bias)(
    float *restrict x, const float *restrict bias, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        float *restrict row = x + r * columns;
        for (size_t c = 0; c < columns; c++) row[c] += bias[c];
    }
}

static void FN(bias_activation)(
    float *restrict x, const float *restrict bias, size_t rows, size_t columns, int activation) {
    for (size_t r = 0; r < rows; r++) {
        float *restrict row = x + r * columns;
        switch (activation) {
        case preloop_nn_relu:
            for (size_t c = 0; c < columns; c++) {
                float v = row[c] + bias[c];
                row[c] = v > 0.0f ? v : 0.0f;
            }
            break;
        case preloop_nn_gelu_tanh:
            for (size_t c = 0; c < columns; c++) {
                float v = row[c] + bias[c];
                // (1 + tanh z) / 2 = 1 / (1 + exp(-2 z)), z = sqrt(2 / pi) (v + 0.044715 v^3).
                float z = 1.5957691216057308f * (v + 0.044715f * v * v * v);
                row[c] = v / (1.0f + exponential(-z));
            }
            break;
        default:
            for (size_t c = 0; c < columns; c++) {
                float v = row[c] + bias[c];
                row[c] = 0.5f * v * (1.0f + error_function(v));
            }
        }
    }
}

static void FN(bias_residual_norm)(
    float *restrict x, const float *restrict bias, float *restrict residual,
    const float *restrict scale, const float *restrict shift, float epsilon, size_t rows,
    size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        float *restrict row = x + r * columns;
        float *restrict out = residual + r * columns;
        for (size_t c = 0; c < columns; c++) row[c] += bias[c] + out[c];
        normalise(row, scale, shift, epsilon, columns, out);
    }
}

static void FN(embed)(
    const float *restrict word, const float *restrict position, const float *restrict type,
    const float *restrict scale, const float *restrict shift, float epsilon, size_t columns,
    float *restrict out) {
    for (size_t c = 0; c < columns; c++) out[c] = word[c] + position[c] + type[c];
    normalise(out, scale, shift, epsilon, columns, out);
}

static void FN(softmax)(float *x, size_t rows, size_t columns, size_t stride) {
    size_t padded = (columns + LANES - 1) / LANES * LANES;
    for (size_t r = 0; r < rows; r++) {
        float *row = x + r * stride;
        for (size_t c = columns; c < padded; c++) row[c] = -INFINITY;
        float lanes[LANES];
        for (int lane = 0; lane < LANES; lane++) lanes[lane] = row[lane];
        for (size_t c = LANES; c < padded; c += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                float v = row[c + (size_t)lane];
                lanes[lane] = v > lanes[lane] ? v : lanes[lane];
            }
        float largest = lanes[0];
        for (int lane = 1; lane < LANES; lane++)
            largest = lanes[lane] > largest ? lanes[lane] : largest;
        float sums[LANES] = {0};
        for (size_t c = 0; c < padded; c += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                float e = exponential(row[c + (size_t)lane] - largest);
                row[c + (size_t)lane] = e;
                sums[lane] += e;
            }
        // The padding contributed exp(-87) each, 1e-38, to a sum of at least 1.
        float factor = 1.0f / sum_of(sums);
        for (size_t c = 0; c < columns; c++) row[c] *= factor;
        for (size_t c = columns; c < stride; c++) row[c] = 0.0f;
    }
}

static void FN(mean)(
    const float *restrict x, size_t rows, size_t columns, float *restrict out) {
    for (size_t c = 0; c < columns; c++) out[c] = x[c];
    for (size_t r = 1; r < rows; r++)
        for (size_t c = 0; c < columns; c++) out[c] += x[r * columns + c];
    float factor = 1.0f / (float)rows;
    for (size_t c = 0; c < columns; c++) out[c] *= factor;
}

static void FN(maximum)(
    const float *restrict x, size_t rows, size_t columns, float *restrict out) {
    for (size_t c = 0; c < columns; c++) out[c] = x[c];
    for (size_t r = 1; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            float v = x[r * columns + c];
            out[c] = v > out[c] ? v : out[c];
        }
}

static void FN(unit)(float *x, size_t count) {
    // In double: a vector of 1e30s would overflow, and this runs once a text.
    double square = 0;
    for (size_t i = 0; i < count; i++) square += (double)x[i] * (double)x[i];
    if (!(square > 0)) return;
    float factor = (float)(1.0 / sqrt(square));
    for (size_t i = 0; i < count; i++) x[i] *= factor;
}

static void FN(widen_f16)(
    const uint8_t *restrict bytes, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++) {
        uint32_t half = (uint32_t)bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8;
        uint32_t magnitude = (half & 0x7FFF) << 13;
        // 2^112 moves the exponent's bias from 15 to 127 and makes subnormals normal.
        float value;
        memcpy(&value, &magnitude, sizeof value);
        value *= 0x1p112f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        // Exponent 31 means infinity or NaN: exponent 255.
        bits |= (half & 0x7C00) == 0x7C00 ? 0x7F800000u : 0u;
        bits |= (half & 0x8000) << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static void FN(widen_bf16)(
    const uint8_t *restrict bytes, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = ((uint32_t)bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8) << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static const nn_kernels FN(kernels) = {
    .level = FN(level),
    .bias = FN(bias),
    .bias_activation = FN(bias_activation),
    .bias_residual_norm = FN(bias_residual_norm),
    .embed = FN(embed),
    .softmax = FN(softmax),
    .mean = FN(mean),
    .maximum = FN(maximum),
    .unit = FN(unit),
    .widen_f16 = FN(widen_f16),
    .widen_bf16 = FN(widen_bf16),
};

#undef FN
#undef JOIN
#undef JOIN_
