#pragma once
// The sentence encoder's matrix products over weights packed once, in float32, bfloat16 or int8,
// and what stands between them: quantisation, layer normalisation, attention.
//
// Each function takes the level of instructions to use (ckernels_level.h); a level the machine
// lacks becomes the best it has. int8 products are exact on every level, so only the float work
// around them differs, in rounding. Pointers need no alignment unless stated.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /// Rows of a register tile of vectors.
    PRELOOP_GEMM_ROWS = 12,
    /// The most rows that are read at a time: what a product or attention reads must reach so far
    /// from its last row on, whatever the rows behind that hold.
    PRELOOP_GEMM_MOST_ROWS = 32,
    /// Rows of int8 and bfloat16 that a product reads are zero from their last number to a multiple
    /// of so many bytes.
    PRELOOP_GEMM_LINE = 64,
    /// Outputs of a register tile, which is the width of a panel of packed weights. Vectors with
    /// one value an output are read in whole panels.
    PRELOOP_GEMM_COLUMNS = 32,
    /// Inputs of an int8 product that are kept in float32: the few with the largest values, which
    /// would take the range of 8 bits from all others.
    PRELOOP_GEMM_EXACT = 2,
};

/// What activations and weights are made of.
enum {
    preloop_gemm_float32 = 0,
    preloop_gemm_bfloat16 = 1, ///< Products need PRELOOP_KERNELS_VNNI or more.
    preloop_gemm_int8 = 2,     ///< Unsigned activations, signed weights.
};

/// What becomes of a sum, after its bias.
enum {
    preloop_gemm_store = 0,      ///< output = v
    preloop_gemm_add = 1,        ///< output += v; the output is float32
    preloop_gemm_gelu = 2,       ///< output = v Phi(v) factors, within 1.1e-6 for |v| <= 8
    preloop_gemm_gelu_short = 3, ///< the same within 6e-5 (1 + |v|), cheaper
    preloop_gemm_gelu_tanh = 4,  ///< the tanh form, times factors
    preloop_gemm_relu = 5,       ///< max(v, 0), times factors
};

/// A product of row-major activations with packed weights.
typedef struct {
    size_t rows, inputs, outputs;
    int32_t format, epilogue;
    const void *activations;
    size_t activation_stride; ///< Distance of rows in elements; see PRELOOP_GEMM_LINE.
    const float *row_scale, *row_low; ///< int8: an activation is low + scale * q.
    const float *row_exact;           ///< int8: PRELOOP_GEMM_EXACT activations a row.
    const void *weights;              ///< Fastest when aligned to 64 bytes.
    const float *weight_scale;        ///< int8: one value an output, whole panels.
    const float *weight_sum;          ///< int8: scale times the sum of an output's weights.
    const float *exact_weights;       ///< int8: a row of whole panels for each of them.
    const float *bias;                ///< One value an output, whole panels.
    const float *factors;             ///< For activations: one value an output, whole panels.
    /// Rows of bfloat16 become zero up to PRELOOP_GEMM_LINE.
    int32_t output_is_bfloat16;
    void *output;
    size_t output_stride; ///< In elements.
} preloop_gemm;

/// Runs a product.
void preloop_gemm_run(int level, const preloop_gemm *product);

/// Bytes of packed weights.
size_t preloop_gemm_packed_size(int format, size_t outputs, size_t inputs);

/// Where weights are packed to; several matrices may share one, one behind the other.
typedef struct {
    int32_t format;
    size_t inputs;
    void *packed;        ///< Of the size for all outputs, zeroed.
    float *weight_scale; ///< int8 only, as in preloop_gemm.
    float *weight_sum;
    float *exact_weights;
    const size_t *exact; ///< int8 only: PRELOOP_GEMM_EXACT inputs below `inputs`.
    size_t outputs;      ///< Of all matrices.
    float *scratch;      ///< `inputs` values.
} preloop_gemm_packing;

/// Packs `outputs` rows of weights as the outputs from `first` on.
///
/// Weight (j, k) is multiplied by output_factors[j] and input_factors[k]; null means 1. int8 takes
/// for each output the scale of least squared error among a few that clip.
void preloop_gemm_pack(
    int level, const preloop_gemm_packing *packing, const float *weights, size_t first,
    size_t outputs, const float *output_factors, const float *input_factors);

/// squares[k] += sum over outputs of weight (j, k)^2.
void preloop_gemm_column_squares(
    int level, const float *weights, size_t outputs, size_t inputs, float *squares);

/// Of independent inputs with the given means and variances: the means and variances of the
/// outputs, without bias.
void preloop_gemm_moments(
    int level, const float *weights, size_t outputs, size_t inputs, const float *mean,
    const float *variance, float *output_mean, float *output_variance);

/// Where quantised rows go.
typedef struct {
    uint8_t *codes;
    size_t stride;      ///< Columns up to it become zero.
    float *scale, *low; ///< A value is low + scale * code; NaN for a row that is not finite.
    float *exact;       ///< PRELOOP_GEMM_EXACT values a row.
} preloop_quantized;

/// Quantises rows times factors (null: 1) to 8 bits, from the least to the largest value of a row.
/// The columns `exact` count as zero there and are written apart. `x` is the same afterwards, but
/// not in between.
void preloop_rows_quantize(
    int level, float *x, size_t rows, size_t columns, const float *factors, const size_t *exact,
    const preloop_quantized *out);

/// Rounds rows to bfloat16; output columns up to the stride become zero.
void preloop_rows_bfloat16(
    int level, const float *x, size_t rows, size_t columns, uint16_t *out, size_t out_stride);

/// Layer normalisation in place.
typedef struct {
    const float *scale, *shift;
    float epsilon;
} preloop_normalization;

/// Layer normalisation.
void preloop_rows_normalize(
    int level, float *x, size_t rows, size_t columns, const preloop_normalization *by);

/// The same, and what preloop_rows_quantize does with the rows, each while it is at hand.
void preloop_rows_normalize_quantize(
    int level, float *x, size_t rows, size_t columns, const preloop_normalization *by,
    const float *factors, const size_t *exact, const preloop_quantized *out);

/// The same with preloop_rows_bfloat16.
void preloop_rows_normalize_bfloat16(
    int level, float *x, size_t rows, size_t columns, const preloop_normalization *by,
    uint16_t *out, size_t out_stride);

/// Attention of all heads of one sequence. Queries hold the factor log2(e) / sqrt(head size).
typedef struct {
    size_t rows, heads, head_size;
    int32_t is_bfloat16; ///< Else float32. bfloat16 needs the level VNNI or more and an even head.
    const void *query, *key, *value;
    size_t stride;              ///< Distance of rows of the three in elements.
    /// Rows of bfloat16 become zero up to PRELOOP_GEMM_LINE.
    int32_t context_is_bfloat16;
    void *context;
    size_t context_stride; ///< In elements.
    void *scratch;              ///< preloop_attention_scratch bytes, aligned to 64.
} preloop_attention;

void preloop_attention_run(int level, const preloop_attention *attention);

/// Bytes of scratch for sequences up to `rows`.
size_t preloop_attention_scratch(size_t rows, size_t head_size);

#ifdef __cplusplus
}
#endif
