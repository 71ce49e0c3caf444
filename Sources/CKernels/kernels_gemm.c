#include "ckernels_gemm.h"

#include "ckernels_level.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Matrix products over packed weights, for each level of instructions.
//
// Weights lie in panels of 32 outputs. A panel is a list of steps; a step holds for each of the 32
// outputs four bytes: one float32, two bfloat16 or four int8 weights of consecutive inputs, which
// is what one lane of a dot-product instruction takes. A register tile multiplies 12 rows of
// activations with a panel, four bytes of a row at a time, broadcast. With AVX-512 that takes 24
// accumulators, two weights and a broadcast, 27 of 32 registers, and 14 loads for 24 products, so
// products alone limit the speed.

// Vectors are passed to inlined functions only, so no call depends on how they would be passed.
#pragma clang diagnostic ignored "-Wpsabi"

typedef float v16f __attribute__((ext_vector_type(16)));
typedef float v8f __attribute__((ext_vector_type(8)));
typedef float v4f __attribute__((ext_vector_type(4)));
typedef int32_t v16i __attribute__((ext_vector_type(16)));
typedef uint32_t v16u __attribute__((ext_vector_type(16)));
typedef uint16_t v16u16 __attribute__((ext_vector_type(16)));
typedef uint8_t v16u8 __attribute__((ext_vector_type(16), aligned(1)));
// What loads and stores see: neither alignment nor the type of what lies there is known.
typedef v16f loose_v16f __attribute__((aligned(4), may_alias));
typedef v16u16 loose_v16u16 __attribute__((aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define LOAD(place) (*(const loose_v16f *)(place))
#define STORE(place, value) (*(loose_v16f *)(place) = (value))
#define STORE16(place, value) (*(loose_v16u16 *)(place) = (value))

INLINE size_t whole_panels(size_t count) {
    return (count + PRELOOP_GEMM_COLUMNS - 1) / PRELOOP_GEMM_COLUMNS * PRELOOP_GEMM_COLUMNS;
}

/// Inputs of a step.
INLINE size_t group_of(int format) {
    return format == preloop_gemm_int8 ? 4 : format == preloop_gemm_bfloat16 ? 2 : 1;
}

INLINE size_t element_size(int format) { return 4 / group_of(format); }

INLINE size_t steps_of(int format, size_t inputs) {
    size_t group = group_of(format);
    return (inputs + group - 1) / group;
}

INLINE uint16_t bfloat16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return 0x7FC0;
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

typedef struct {
    void (*gemm)(const preloop_gemm *);
    void (*pack)(
        const preloop_gemm_packing *, const float *, size_t, size_t, const float *, const float *);
    void (*column_squares)(const float *, size_t, size_t, float *);
    void (*moments)(
        const float *, size_t, size_t, const float *, const float *, float *, float *);
    void (*quantize)(
        float *, size_t, size_t, const float *, const size_t *, const preloop_quantized *);
    void (*round_rows)(const float *, size_t, size_t, uint16_t *, size_t);
    void (*normalize)(float *, size_t, size_t, const float *, const float *, float);
    void (*attention)(const preloop_attention *);
} gemm_kernels;

// MARK: Attention's layout

typedef struct {
    char *keys;       ///< Panels of 32 keys over the numbers of the head.
    char *values;     ///< Panels of 32 numbers over the keys.
    float *scores;    ///< 12 rows of queries.
    uint16_t *shares; ///< The exponents in bfloat16.
} attention_parts;

static attention_parts parts_of(const preloop_attention *a) {
    size_t padded = whole_panels(a->rows), plane = padded * whole_panels(a->head_size) * 4;
    char *base = a->scratch;
    attention_parts parts = {
        .keys = base,
        .values = base + plane,
        .scores = (float *)(base + 2 * plane),
        .shares = (uint16_t *)(base + 2 * plane + PRELOOP_GEMM_ROWS * padded * 4),
    };
    return parts;
}

size_t preloop_attention_scratch(size_t rows, size_t head_size) {
    size_t padded = whole_panels(rows);
    return 8 * padded * whole_panels(head_size) + PRELOOP_GEMM_ROWS * padded * 6;
}

/// Keys become columns: a panel's step holds four bytes of each of 32 keys.
static void pack_keys(const preloop_attention *a, size_t head, char *out) {
    size_t element = a->is_bfloat16 ? 2 : 4, words = a->head_size * element / 4;
    const char *keys = (const char *)a->key + head * a->head_size * element;
    for (size_t first = 0; first < a->rows; first += PRELOOP_GEMM_COLUMNS) {
        size_t count = a->rows - first < PRELOOP_GEMM_COLUMNS ? a->rows - first
                                                              : PRELOOP_GEMM_COLUMNS;
        uint32_t *panel = (uint32_t *)out + first * words;
        if (count < PRELOOP_GEMM_COLUMNS) memset(panel, 0, words * 4 * PRELOOP_GEMM_COLUMNS);
        for (size_t i = 0; i < count; i++) {
            const char *key = keys + (first + i) * a->stride * element;
            for (size_t w = 0; w < words; w++)
                memcpy(panel + w * PRELOOP_GEMM_COLUMNS + i, key + 4 * w, 4);
        }
    }
}

/// Values stay rows; with bfloat16 two rows are interleaved, and an odd last one gets a zero row.
static void pack_values(const preloop_attention *a, size_t head, char *out) {
    size_t size = a->head_size, rows = a->rows;
    for (size_t first = 0; first < size; first += PRELOOP_GEMM_COLUMNS) {
        size_t width = size - first < PRELOOP_GEMM_COLUMNS ? size - first : PRELOOP_GEMM_COLUMNS;
        size_t place = head * size + first;
        if (!a->is_bfloat16) {
            float *panel = (float *)out + first * rows;
            for (size_t j = 0; j < rows; j++, panel += PRELOOP_GEMM_COLUMNS) {
                memset(panel, 0, 4 * PRELOOP_GEMM_COLUMNS);
                memcpy(panel, (const float *)a->value + j * a->stride + place, 4 * width);
            }
            continue;
        }
        uint16_t *panel = (uint16_t *)out + first * (rows + rows % 2);
        for (size_t j = 0; j < rows; j += 2, panel += 2 * PRELOOP_GEMM_COLUMNS) {
            const uint16_t *even = (const uint16_t *)a->value + j * a->stride + place;
            const uint16_t *odd = j + 1 < rows ? even + a->stride : NULL;
            for (size_t c = 0; c < PRELOOP_GEMM_COLUMNS; c++) {
                panel[2 * c] = c < width ? even[c] : 0;
                panel[2 * c + 1] = odd && c < width ? odd[c] : 0;
            }
        }
    }
}

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

#define LEVEL portable
#define TILE_ROWS 2
#define TILE_VECTORS 1
#define TILE_INT8 tile_int8_portable
#define TILE_BFLOAT16 TILE_NONE
#include "kernels_gemm_body.h"
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
#include "kernels_gemm_body.h"
#undef LEVEL
#undef TILE_ROWS
#undef TILE_VECTORS
#pragma clang attribute pop

#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(AVX512))), apply_to = function)
#define LEVEL avx512
#define TILE_ROWS PRELOOP_GEMM_ROWS
#define TILE_VECTORS 2
#include "kernels_gemm_body.h"
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
#include "kernels_gemm_body.h"
#pragma clang attribute pop

static const gemm_kernels *kernels_at(int level) {
    static const gemm_kernels *const all[] = {
        &kernels_portable, &kernels_avx2, &kernels_avx512, &kernels_vnni,
    };
    int best = preloop_kernels_level();
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
    return whole_panels(outputs) * steps_of(format, inputs) * 4;
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
    int level, float *x, size_t rows, size_t columns, const float *scale, const float *shift,
    float epsilon) {
    kernels_at(level)->normalize(x, rows, columns, scale, shift, epsilon);
}

void preloop_attention_run(int level, const preloop_attention *attention) {
    kernels_at(level)->attention(attention);
}
