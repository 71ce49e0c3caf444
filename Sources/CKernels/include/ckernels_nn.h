#pragma once
// Kernels of the sentence encoder: everything between two matrix products, row by row in float32.
//
// Each function exists for three levels (AVX-512, AVX2, portable); preloop_kernels_level says which
// one runs. Matrices are row-major and dense unless a stride is given. Pointers need no
// alignment; `restrict` pointers must not overlap, others may as documented.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The level whose functions run, at most PRELOOP_KERNELS_AVX512.
int preloop_nn_level(void);

/// Activation functions of `preloop_nn_bias_activation`.
enum {
    preloop_nn_gelu = 0,      ///< x * (1 + erf(x / sqrt 2)) / 2, within 1.1e-6 for |x| <= 8.
    preloop_nn_gelu_tanh = 1, ///< The tanh form (`gelu_new`).
    preloop_nn_relu = 2,      ///< max(x, 0).
};

/// x[r, c] += bias[c].
void preloop_nn_bias(float *restrict x, const float *restrict bias, size_t rows, size_t columns);

/// x[r, c] = activation(x[r, c] + bias[c]).
void preloop_nn_bias_activation(
    float *restrict x, const float *restrict bias, size_t rows, size_t columns, int activation);

/// Layer normalisation of a residual branch, with `x` as scratch:
/// residual = normalise(x + bias + residual) * scale + shift.
void preloop_nn_bias_residual_norm(
    float *restrict x, const float *restrict bias, float *restrict residual,
    const float *restrict scale, const float *restrict shift, float epsilon, size_t rows,
    size_t columns);

/// One embedding row: out = normalise(word + position + type) * scale + shift.
void preloop_nn_embed(
    const float *restrict word, const float *restrict position, const float *restrict type,
    const float *restrict scale, const float *restrict shift, float epsilon, size_t columns,
    float *restrict out);

/// Softmax of each row's first `columns` values. `stride` is the distance of rows, a multiple of 16
/// not less than `columns`; the values behind `columns` become 0.
void preloop_nn_softmax(float *x, size_t rows, size_t columns, size_t stride);

/// out[c] = mean over rows of x[r, c]; rows > 0.
void preloop_nn_mean(const float *restrict x, size_t rows, size_t columns, float *restrict out);

/// out[c] = maximum over rows of x[r, c]; rows > 0.
void preloop_nn_maximum(const float *restrict x, size_t rows, size_t columns, float *restrict out);

/// Divides x by its Euclidean norm; a zero vector stays zero.
void preloop_nn_unit(float *x, size_t count);

/// Widens IEEE half precision, exactly.
void preloop_nn_widen_f16(const uint8_t *restrict bytes, size_t count, float *restrict out);

/// Widens bfloat16, exactly.
void preloop_nn_widen_bf16(const uint8_t *restrict bytes, size_t count, float *restrict out);

#ifdef __cplusplus
}
#endif
