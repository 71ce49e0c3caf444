#pragma once
// What all levels of the sentence encoder's kernels share: types, the layout of packed weights,
// and the table of functions of a level.
//
// Weights lie in panels of 32 outputs. A panel is a list of steps; a step holds for each of the 32
// outputs four bytes: one float32, two bfloat16 or four int8 weights of consecutive inputs, which
// is what one lane of a dot-product instruction takes. int8 and bfloat16 panels have zeros behind
// the last input up to a multiple of 16 steps, so that every 16 rows of 64 bytes, 128 apart, are a
// whole tile register.

#include "ckernels_gemm.h"
#include "ckernels_level.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

/// Steps of a panel, the zeros behind the last input among them.
INLINE size_t panel_steps(int format, size_t inputs) {
    size_t steps = steps_of(format, inputs);
    return format == preloop_gemm_float32 ? steps : (steps + 15) / 16 * 16;
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
    void (*normalize)(float *, size_t, size_t, const preloop_normalization *);
    void (*normalize_quantize)(
        float *, size_t, size_t, const preloop_normalization *, const float *, const size_t *,
        const preloop_quantized *);
    void (*normalize_round)(
        float *, size_t, size_t, const preloop_normalization *, uint16_t *, size_t);
    void (*attention)(const preloop_attention *);
} gemm_kernels;

#if defined(__x86_64__)
/// Products of int8 and bfloat16 on tile registers.
void preloop_tiles_gemm(const preloop_gemm *product);

/// Attention in bfloat16 on tile registers; heads are multiples of 32 wide.
void preloop_tiles_attention(const preloop_attention *attention);
#endif

// MARK: Products

/// Sums of a tile, row by row of a panel's columns.
typedef union {
    float floats[PRELOOP_GEMM_MOST_ROWS * PRELOOP_GEMM_COLUMNS];
    int32_t integers[PRELOOP_GEMM_MOST_ROWS * PRELOOP_GEMM_COLUMNS];
} __attribute__((aligned(64))) tile_sums;

/// Which rows and columns of the output a tile's sums are.
typedef struct {
    size_t row, rows, column;
    struct tile_walk *next; ///< What goes on meanwhile; null but for tile registers.
} tile_place;

// MARK: Attention's layout

typedef struct {
    char *keys;       ///< Panels of 32 keys over the numbers of the head.
    char *values;     ///< Panels of 32 numbers over the keys.
    float *scores;    ///< PRELOOP_GEMM_MOST_ROWS rows of queries.
    uint16_t *shares; ///< The exponents in bfloat16.
} attention_parts;

INLINE attention_parts parts_of(const preloop_attention *a) {
    size_t padded = whole_panels(a->rows), plane = padded * whole_panels(a->head_size) * 4;
    char *base = a->scratch;
    attention_parts parts = {
        .keys = base,
        .values = base + plane,
        .scores = (float *)(base + 2 * plane),
        .shares = (uint16_t *)(base + 2 * plane + PRELOOP_GEMM_MOST_ROWS * padded * 4),
    };
    return parts;
}

/// Keys become columns: a panel's step holds four bytes of each of 32 keys.
INLINE void pack_keys(const preloop_attention *a, size_t head, char *out) {
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
INLINE void pack_values(const preloop_attention *a, size_t head, char *out) {
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

/// Zeros behind the heads of a context in bfloat16.
INLINE void clear_padding(const preloop_attention *a) {
    size_t width = a->heads * a->head_size, line = PRELOOP_GEMM_LINE / 2;
    size_t padding = (line - width % line) % line;
    if (!a->context_is_bfloat16 || padding == 0) return;
    for (size_t r = 0; r < a->rows; r++)
        memset((uint16_t *)a->context + r * a->context_stride + width, 0, 2 * padding);
}
