#include "ckernels_nn.h"

#include <math.h>
#include <string.h>

// The loops are written so that the compiler turns them into vector code for each clone: no calls,
// no early exits, and reductions over LANES independent sums, which fix the order of additions
// whatever the vector width. So all clones agree but for fused multiply-add.
//
// Under the thread sanitizer there is one clone: the resolvers that choose run while the program is
// being loaded, before the sanitizer they were instrumented for, and crash.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PRELOOP_NO_CLONES
#endif
#endif
#if defined(__x86_64__) && defined(__linux__) && !defined(PRELOOP_NO_CLONES)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };

/// exp(x), relative error below 2e-7; saturates below -87 and above 88, never 0 or infinity.
INLINE float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    float shifted = x * 1.44269504088896341f + 12582912.0f;
    float k = shifted - 12582912.0f;
    // ln 2 in two parts (Cody and Waite): the first has 9 trailing zero bits, so k * part is exact.
    float r = x - k * 0.693359375f;
    r = r + k * 2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (int32_t)((uint32_t)bits << 23) + 0x3F800000;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/// erf(x / sqrt 2) as x P(x^2) / Q(x^2), both of degree 5, fitted to 1.5e-8 on |x| <= 5.5 by
/// iterated weighted least squares; beyond that the function is 1 to float precision. Degree 4 over
/// 4 misses by 2e-6.
INLINE float error_function(float x) {
    x = x < -5.5f ? -5.5f : x;
    x = x > 5.5f ? 5.5f : x;
    float u = x * x;
    float p = 4.55015010509419e-08f;
    p = p * u + 1.2703678500706784e-05f;
    p = p * u + 0.0003375978126575991f;
    p = p * u + 0.009354192188268308f;
    p = p * u + 0.06770024057891043f;
    p = p * u + 0.7978844695680698f;
    float q = 1.1975240852931388e-06f;
    q = q * u + 7.363843989181013e-05f;
    q = q * u + 0.0018842933417648022f;
    q = q * u + 0.02864440066869686f;
    q = q * u + 0.2515155891572621f;
    q = q * u + 1.0f;
    return x * p / q;
}

INLINE float sum_of(const float *lanes) {
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += lanes[lane];
    return sum;
}

/// Normalises `x` to mean 0 and variance 1, then scales and shifts it into `out`, which may be `x`.
INLINE void normalise(
    float *x, const float *scale, const float *shift, float epsilon, size_t columns, float *out) {
    size_t blocked = columns - columns % LANES;
    float lanes[LANES] = {0};
    for (size_t c = 0; c < blocked; c += LANES)
        for (int lane = 0; lane < LANES; lane++) lanes[lane] += x[c + (size_t)lane];
    float sum = sum_of(lanes);
    for (size_t c = blocked; c < columns; c++) sum += x[c];
    float mean = sum / (float)columns;

    // Two passes: E[x^2] - E[x]^2 would cancel.
    float squares[LANES] = {0};
    for (size_t c = 0; c < blocked; c += LANES)
        for (int lane = 0; lane < LANES; lane++) {
            float d = x[c + (size_t)lane] - mean;
            squares[lane] += d * d;
        }
    float square = sum_of(squares);
    for (size_t c = blocked; c < columns; c++) square += (x[c] - mean) * (x[c] - mean);
    float factor = 1.0f / sqrtf(square / (float)columns + epsilon);
    for (size_t c = 0; c < columns; c++) out[c] = (x[c] - mean) * factor * scale[c] + shift[c];
}

CLONES void preloop_nn_bias(
    float *restrict x, const float *restrict bias, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        float *restrict row = x + r * columns;
        for (size_t c = 0; c < columns; c++) row[c] += bias[c];
    }
}

CLONES void preloop_nn_bias_activation(
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

CLONES void preloop_nn_bias_residual_norm(
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

CLONES void preloop_nn_embed(
    const float *restrict word, const float *restrict position, const float *restrict type,
    const float *restrict scale, const float *restrict shift, float epsilon, size_t columns,
    float *restrict out) {
    for (size_t c = 0; c < columns; c++) out[c] = word[c] + position[c] + type[c];
    normalise(out, scale, shift, epsilon, columns, out);
}

CLONES void preloop_nn_softmax(float *x, size_t rows, size_t columns, size_t stride) {
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

CLONES void preloop_nn_mean(
    const float *restrict x, size_t rows, size_t columns, float *restrict out) {
    for (size_t c = 0; c < columns; c++) out[c] = x[c];
    for (size_t r = 1; r < rows; r++)
        for (size_t c = 0; c < columns; c++) out[c] += x[r * columns + c];
    float factor = 1.0f / (float)rows;
    for (size_t c = 0; c < columns; c++) out[c] *= factor;
}

CLONES void preloop_nn_maximum(
    const float *restrict x, size_t rows, size_t columns, float *restrict out) {
    for (size_t c = 0; c < columns; c++) out[c] = x[c];
    for (size_t r = 1; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            float v = x[r * columns + c];
            out[c] = v > out[c] ? v : out[c];
        }
}

CLONES void preloop_nn_unit(float *x, size_t count) {
    // In double: a vector of 1e30s would overflow, and this runs once a text.
    double square = 0;
    for (size_t i = 0; i < count; i++) square += (double)x[i] * (double)x[i];
    if (!(square > 0)) return;
    float factor = (float)(1.0 / sqrt(square));
    for (size_t i = 0; i < count; i++) x[i] *= factor;
}

CLONES void preloop_nn_widen_f16(
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

CLONES void preloop_nn_widen_bf16(
    const uint8_t *restrict bytes, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = ((uint32_t)bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8) << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}
