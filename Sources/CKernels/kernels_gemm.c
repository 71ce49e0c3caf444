#include "gemm_shared.h"

// The levels that work on vectors, and the entry points; kernels_gemm_amx.c has the level of tiles.
//
// A register tile multiplies 12 rows of activations with a panel, four bytes of a row at a time,
// broadcast. With AVX-512 that takes 24 accumulators, two weights and a broadcast, 27 of 32
// registers, and 14 loads for 24 products, so products alone limit the speed.

// MARK: Levels

/// The product of int8 in plain C.
static void tile_int8_portable(
    const uint8_t *a, size_t stride, const int8_t *b, size_t depth, int32_t *out) {
    for (size_t r = 0; r < PRELOOP_GEMM_ROWS; r++, out += PRELOOP_GEMM_COLUMNS) {
        int32_t sums[PRELOOP_GEMM_COLUMNS] = {0};
        const uint8_t *row = a + r * stride;
        for (size_t k = 0; k < depth; k++, row += 4) {
            const int8_t *step = b + k * 4 * PRELOOP_GEMM_COLUMNS;
            for (size_t c = 0; c < PRELOOP_GEMM_COLUMNS; c++)
                sums[c] += row[0] * step[4 * c] + row[1] * step[4 * c + 1]
                    + row[2] * step[4 * c + 2] + row[3] * step[4 * c + 3];
        }
        memcpy(out, sums, sizeof sums);
    }
}

// Without the instructions a format is never asked for: preloop_gemm_run stops.
#define TILE_NONE(...) __builtin_trap()

// Nothing goes on beside the epilogue, as it does with tile registers (kernels_gemm_amx.c).
#define FINISHED_ROW(place) (void)(place)

#define LEVEL portable
#define TILE_ROWS 2
#define TILE_VECTORS 1
#define TILE_INT8 tile_int8_portable
#define TILE_BFLOAT16 TILE_NONE
#include "gemm_epilogue_body.h"
#include "gemm_level_body.h"
#undef LEVEL
#undef TILE_ROWS
#undef TILE_VECTORS
#undef TILE_INT8

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

/// Sums of `ROWS` rows with eight outputs. `vpmaddubsw` would saturate with 8-bit activations, so
/// both sides are widened to 16 bits; a lane then holds half of an output's sum.
#define AVX2_ROWS 4
static void tile_int8_avx2(
    const uint8_t *a, size_t stride, const int8_t *b, size_t depth, int32_t *out) {
    for (size_t row = 0; row < PRELOOP_GEMM_ROWS; row += AVX2_ROWS)
        for (size_t column = 0; column < PRELOOP_GEMM_COLUMNS; column += 8) {
            __m256i sums[AVX2_ROWS][2] = {0};
            const int8_t *step = b + 4 * column;
            for (size_t k = 0; k < depth; k++, step += 4 * PRELOOP_GEMM_COLUMNS) {
                __m256i first = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)step));
                __m256i second =
                    _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(step + 16)));
                UNROLL for (size_t r = 0; r < AVX2_ROWS; r++) {
                    int32_t bytes;
                    memcpy(&bytes, a + (row + r) * stride + 4 * k, 4);
                    __m256i left = _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes));
                    sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(left, first));
                    sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(left, second));
                }
            }
            UNROLL for (size_t r = 0; r < AVX2_ROWS; r++) {
                // Adding neighbours leaves the order 0 1 4 5 2 3 6 7.
                __m256i pairs = _mm256_hadd_epi32(sums[r][0], sums[r][1]);
                _mm256_storeu_si256(
                    (__m256i *)(out + (row + r) * PRELOOP_GEMM_COLUMNS + column),
                    _mm256_permute4x64_epi64(pairs, _MM_SHUFFLE(3, 1, 2, 0)));
            }
        }
}

#define LEVEL avx2
#define TILE_ROWS 4
#define TILE_VECTORS 1
#define TILE_INT8 tile_int8_avx2
#include "gemm_epilogue_body.h"
#include "gemm_level_body.h"
#undef LEVEL
#undef TILE_ROWS
#undef TILE_VECTORS
#pragma clang attribute pop

#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(AVX512))), apply_to = function)
#define LEVEL avx512
#define TILE_ROWS PRELOOP_GEMM_ROWS
#define TILE_VECTORS 2
#include "gemm_epilogue_body.h"
#include "gemm_level_body.h"
#undef LEVEL
#undef TILE_INT8
#undef TILE_BFLOAT16
#pragma clang attribute pop

#define VNNI AVX512 ",avx512vnni,avx512bf16"
#pragma clang attribute push(__attribute__((target(VNNI))), apply_to = function)

// Written as an intrinsic the compiler keeps copies of accumulators on the stack, which halves the
// speed; as one instruction of assembly it leaves them where they are.
#define DOT_INT8(sum, left, right) \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right))
#define DOT_BFLOAT16(sum, left, right) \
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right))

/// The inner loop of both formats over steps of four bytes.
#define TILE_STEPS(DOT)                                                       \
    for (size_t k = 0; k < depth; k++, left += 4, right += 128) {             \
        __m512i first = _mm512_loadu_si512(right);                            \
        __m512i second = _mm512_loadu_si512(right + 64);                      \
        UNROLL for (size_t r = 0; r < PRELOOP_GEMM_ROWS; r++) {               \
            int32_t bytes;                                                    \
            memcpy(&bytes, left + r * pitch, 4);                              \
            __m512i row = _mm512_set1_epi32(bytes);                           \
            DOT(sums[r][0], row, first);                                      \
            DOT(sums[r][1], row, second);                                     \
        }                                                                     \
    }

static void tile_int8_vnni(
    const uint8_t *a, size_t stride, const int8_t *b, size_t depth, int32_t *out) {
    __m512i sums[PRELOOP_GEMM_ROWS][2];
    UNROLL for (size_t r = 0; r < PRELOOP_GEMM_ROWS; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_si512();
    const char *left = (const char *)a, *right = (const char *)b;
    size_t pitch = stride;
    TILE_STEPS(DOT_INT8)
    UNROLL for (size_t r = 0; r < PRELOOP_GEMM_ROWS; r++) {
        _mm512_storeu_si512(out + r * PRELOOP_GEMM_COLUMNS, sums[r][0]);
        _mm512_storeu_si512(out + r * PRELOOP_GEMM_COLUMNS + 16, sums[r][1]);
    }
}

static void tile_bfloat16_vnni(
    const uint16_t *a, size_t stride, const uint16_t *b, size_t depth, float *out,
    size_t out_stride) {
    __m512 sums[PRELOOP_GEMM_ROWS][2];
    UNROLL for (size_t r = 0; r < PRELOOP_GEMM_ROWS; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    const char *left = (const char *)a, *right = (const char *)b;
    size_t pitch = 2 * stride;
    TILE_STEPS(DOT_BFLOAT16)
    UNROLL for (size_t r = 0; r < PRELOOP_GEMM_ROWS; r++) {
        _mm512_storeu_ps(out + r * out_stride, sums[r][0]);
        _mm512_storeu_ps(out + r * out_stride + 16, sums[r][1]);
    }
}

#define LEVEL vnni
#define LEVEL_HAS_BFLOAT16
#define TILE_INT8 tile_int8_vnni
#define TILE_BFLOAT16 tile_bfloat16_vnni
#include "gemm_epilogue_body.h"
#include "gemm_level_body.h"
#pragma clang attribute pop

// MARK: Tile registers

static void gemm_amx(const preloop_gemm *product) {
    if (product->format == preloop_gemm_float32)
        gemm_vnni(product);
    else
        preloop_tiles_gemm(product);
}

static void attention_amx(const preloop_attention *attention) {
    if (attention->is_bfloat16 && attention->head_size % PRELOOP_GEMM_COLUMNS == 0)
        preloop_tiles_attention(attention);
    else
        attention_vnni(attention);
}

static const gemm_kernels kernels_amx = {
    .gemm = gemm_amx,
    .pack = pack_vnni,
    .column_squares = column_squares_vnni,
    .moments = moments_vnni,
    .quantize = quantize_vnni,
    .round_rows = round_rows_vnni,
    .normalize = normalize_vnni,
    .normalize_quantize = normalize_quantize_vnni,
    .normalize_round = normalize_round_vnni,
    .attention = attention_amx,
};

static const gemm_kernels *kernels_at(int level) {
    static const gemm_kernels *const all[] = {
        &kernels_portable, &kernels_avx2, &kernels_avx512, &kernels_vnni, &kernels_amx,
    };
    int best = preloop_kernels_matrix_level();
    return all[level < 0 ? 0 : level < best ? level : best];
}
#else
static const gemm_kernels *kernels_at(int level) {
    (void)level;
    return &kernels_portable;
}
#endif

// MARK: Entry points

void preloop_gemm_run(int level, const preloop_gemm *product) {
    kernels_at(level)->gemm(product);
}

size_t preloop_gemm_packed_size(int format, size_t outputs, size_t inputs) {
    return whole_panels(outputs) * panel_steps(format, inputs) * 4;
}

void preloop_gemm_pack(
    int level, const preloop_gemm_packing *packing, const float *weights, size_t first,
    size_t outputs, const float *output_factors, const float *input_factors) {
    kernels_at(level)->pack(packing, weights, first, outputs, output_factors, input_factors);
}

void preloop_gemm_column_squares(
    int level, const float *weights, size_t outputs, size_t inputs, float *squares) {
    kernels_at(level)->column_squares(weights, outputs, inputs, squares);
}

void preloop_gemm_moments(
    int level, const float *weights, size_t outputs, size_t inputs, const float *mean,
    const float *variance, float *output_mean, float *output_variance) {
    kernels_at(level)->moments(
        weights, outputs, inputs, mean, variance, output_mean, output_variance);
}

void preloop_rows_quantize(
    int level, float *x, size_t rows, size_t columns, const float *factors, const size_t *exact,
    const preloop_quantized *out) {
    kernels_at(level)->quantize(x, rows, columns, factors, exact, out);
}

void preloop_rows_bfloat16(
    int level, const float *x, size_t rows, size_t columns, uint16_t *out, size_t out_stride) {
    kernels_at(level)->round_rows(x, rows, columns, out, out_stride);
}

void preloop_rows_normalize(
    int level, float *x, size_t rows, size_t columns, const preloop_normalization *by) {
    kernels_at(level)->normalize(x, rows, columns, by);
}

void preloop_rows_normalize_quantize(
    int level, float *x, size_t rows, size_t columns, const preloop_normalization *by,
    const float *factors, const size_t *exact, const preloop_quantized *out) {
    kernels_at(level)->normalize_quantize(x, rows, columns, by, factors, exact, out);
}

void preloop_rows_normalize_bfloat16(
    int level, float *x, size_t rows, size_t columns, const preloop_normalization *by,
    uint16_t *out, size_t out_stride) {
    kernels_at(level)->normalize_round(x, rows, columns, by, out, out_stride);
}

size_t preloop_attention_scratch(size_t rows, size_t head_size) {
    size_t padded = whole_panels(rows);
    return 8 * padded * whole_panels(head_size) + PRELOOP_GEMM_MOST_ROWS * padded * 6;
}

void preloop_attention_run(int level, const preloop_attention *attention) {
    kernels_at(level)->attention(attention);
}
