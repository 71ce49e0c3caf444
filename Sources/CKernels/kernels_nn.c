#include "ckernels_nn.h"

#include "ckernels_level.h"

#include <math.h>
#include <string.h>

// The loops are written so that the compiler turns them into vector code at each level: no calls,
// no early exits, and reductions over LANES independent sums, which fix the order of additions
// whatever the vector width. So all levels agree but for fused multiply-add.

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

enum {
    level_portable = PRELOOP_KERNELS_PORTABLE,
    level_avx2 = PRELOOP_KERNELS_AVX2,
    level_avx512 = PRELOOP_KERNELS_AVX512,
};

/// The functions of a level.
typedef struct {
    int level;
    void (*bias)(float *, const float *, size_t, size_t);
    void (*bias_activation)(float *, const float *, size_t, size_t, int);
    void (*bias_residual_norm)(
        float *, const float *, float *, const float *, const float *, float, size_t, size_t);
    void (*embed)(
        const float *, const float *, const float *, const float *, const float *, float, size_t,
        float *);
    void (*softmax)(float *, size_t, size_t, size_t);
    void (*mean)(const float *, size_t, size_t, float *);
    void (*maximum)(const float *, size_t, size_t, float *);
    void (*unit)(float *, size_t);
    void (*widen_f16)(const uint8_t *, size_t, float *);
    void (*widen_bf16)(const uint8_t *, size_t, float *);
} nn_kernels;

// MARK: Levels

#define LEVEL portable
#include "nn_level_body.h"
#undef LEVEL

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LEVEL avx2
#include "nn_level_body.h"
#undef LEVEL
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#define LEVEL avx512
#include "nn_level_body.h"
#undef LEVEL
#pragma clang attribute pop

static const nn_kernels *kernels(void) {
    // Dot products of bytes are of no use here: the level above has the same functions.
    static const nn_kernels *const all[] = {
        &kernels_portable, &kernels_avx2, &kernels_avx512, &kernels_avx512,
    };
    return all[preloop_kernels_level()];
}
#else
static const nn_kernels *kernels(void) { return &kernels_portable; }
#endif

// MARK: Entry points

int preloop_nn_level(void) { return kernels()->level; }

void preloop_nn_bias(
    float *restrict x, const float *restrict bias, size_t rows, size_t columns) {
    kernels()->bias(x, bias, rows, columns);
}

void preloop_nn_bias_activation(
    float *restrict x, const float *restrict bias, size_t rows, size_t columns, int activation) {
    kernels()->bias_activation(x, bias, rows, columns, activation);
}

void preloop_nn_bias_residual_norm(
    float *restrict x, const float *restrict bias, float *restrict residual,
    const float *restrict scale, const float *restrict shift, float epsilon, size_t rows,
    size_t columns) {
    kernels()->bias_residual_norm(x, bias, residual, scale, shift, epsilon, rows, columns);
}

void preloop_nn_embed(
    const float *restrict word, const float *restrict position, const float *restrict type,
    const float *restrict scale, const float *restrict shift, float epsilon, size_t columns,
    float *restrict out) {
    kernels()->embed(word, position, type, scale, shift, epsilon, columns, out);
}

void preloop_nn_softmax(float *x, size_t rows, size_t columns, size_t stride) {
    kernels()->softmax(x, rows, columns, stride);
}

void preloop_nn_mean(
    const float *restrict x, size_t rows, size_t columns, float *restrict out) {
    kernels()->mean(x, rows, columns, out);
}

void preloop_nn_maximum(
    const float *restrict x, size_t rows, size_t columns, float *restrict out) {
    kernels()->maximum(x, rows, columns, out);
}

void preloop_nn_unit(float *x, size_t count) {
    kernels()->unit(x, count);
}

void preloop_nn_widen_f16(
    const uint8_t *restrict bytes, size_t count, float *restrict out) {
    kernels()->widen_f16(bytes, count, out);
}

void preloop_nn_widen_bf16(
    const uint8_t *restrict bytes, size_t count, float *restrict out) {
    kernels()->widen_bf16(bytes, count, out);
}
