#include "code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// AVX-512 with VNNI: four products of bytes and their sum in one instruction, without saturation.
#pragma clang attribute push(__attribute__((target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,bmi,bmi2,popcnt,lzcnt"))), \
    apply_to = function)

#include "code_avx512.h"
#include "code_rows.h"

static inline __attribute__((always_inline)) int32_t dot_bytes(const uint8_t *row,
                                                               const int8_t *query, size_t stride) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += 64)
        sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(row + i), _mm512_loadu_si512(query + i));
    return _mm512_reduce_add_epi32(sum);
}

/// Adds the products of 128 high bytes, put together from 64 bytes of each plane.
static inline __attribute__((always_inline)) __m512i add_high(
    __m512i sum, const uint8_t *coarse, const uint8_t *middle, __m512i first, __m512i second) {
    enum { choose = 0xCA };  // Bits of the second operand where the first has ones, else the third.
    const __m512i upper = _mm512_set1_epi8((char)0xF0);
    __m512i a = _mm512_loadu_si512(coarse), b = _mm512_loadu_si512(middle);
    __m512i below = _mm512_ternarylogic_epi32(upper, _mm512_slli_epi16(a, 4), b, choose);
    __m512i above = _mm512_ternarylogic_epi32(upper, a, _mm512_srli_epi16(b, 4), choose);
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, below, first), above, second);
}

static inline __attribute__((always_inline)) int32_t dot_one(
    const uint8_t *coarse, const uint8_t *middle, const int8_t *query, size_t stride) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += 128)
        sum = add_high(sum, coarse + i / 2, middle + i / 2, _mm512_loadu_si512(query + i),
                       _mm512_loadu_si512(query + i + 64));
    return _mm512_reduce_add_epi32(sum);
}

static inline __attribute__((always_inline)) void dot_four(
    const four_rows *rows, const int8_t *query, size_t stride, int32_t *out) {
    __m512i sums[4] = {0};
    for (size_t i = 0; i < stride; i += 128) {
        __m512i first = _mm512_loadu_si512(query + i), second = _mm512_loadu_si512(query + i + 64);
        for (size_t j = 0; j < 4; j++)
            sums[j] = add_high(sums[j], rows->coarse[j] + i / 2, rows->middle[j] + i / 2, first,
                               second);
    }
    add_lanes(sums[0], sums[1], sums[2], sums[3], out);
}

static inline __attribute__((always_inline)) void dot_coarse(
    const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, const int8_t *query,
    size_t stride, int32_t *out) {
    const uint8_t *rows[4] = {a, b, c, d};
    const __m512i half = _mm512_set1_epi8(15);
    __m512i sums[4] = {0};
    for (size_t i = 0; i < stride; i += 128) {
        __m512i first = _mm512_loadu_si512(query + i), second = _mm512_loadu_si512(query + i + 64);
        for (size_t j = 0; j < 4; j++) {
            __m512i row = _mm512_loadu_si512(rows[j] + i / 2);
            __m512i above = _mm512_and_si512(_mm512_srli_epi16(row, 4), half);
            sums[j] = _mm512_dpbusd_epi32(sums[j], _mm512_and_si512(row, half), first);
            sums[j] = _mm512_dpbusd_epi32(sums[j], above, second);
        }
    }
    add_lanes(sums[0], sums[1], sums[2], sums[3], out);
}

/// The sums of four rows with each of four queries, side by side in memory.
static inline __attribute__((always_inline)) __m512i dot_tile(
    const uint8_t *rows, const int8_t *queries, size_t stride) {
    __m512i sums[16] = {0};
    for (size_t i = 0; i < stride; i += 64) {
        __m512i query[4];
        for (size_t j = 0; j < 4; j++) query[j] = _mm512_loadu_si512(queries + j * stride + i);
        for (size_t r = 0; r < 4; r++) {
            __m512i row = _mm512_loadu_si512(rows + r * stride + i);
            for (size_t j = 0; j < 4; j++)
                sums[4 * j + r] = _mm512_dpbusd_epi32(sums[4 * j + r], row, query[j]);
        }
    }
    int32_t dots[16];
    for (size_t j = 0; j < 16; j += 4)
        add_lanes(sums[j], sums[j + 1], sums[j + 2], sums[j + 3], dots + j);
    return _mm512_loadu_si512(dots);
}

/// `near_pairs` with rows that were unpacked once: four rows with four at a time.
static inline __attribute__((always_inline)) size_t near_tiles(
    const preloop_code_graph *graph, const uint8_t *rows, uint32_t first, uint32_t end,
    uint32_t slot, const preloop_code_query *queries, size_t count, float floor, uint32_t *lefts,
    uint32_t *rights, size_t stride) {
    int32_t biases[16];
    float factors[16];
    for (size_t j = 0; j < 16; j++) {
        biases[j] = 128 * queries[j / 4].high_sum;
        factors[j] = queries[j / 4].scale * 65536.0f;
    }
    __m512i bias = _mm512_loadu_si512(biases);
    __m512 factor = _mm512_loadu_ps(factors), limit = _mm512_set1_ps(floor);
    size_t found = 0;
    for (uint32_t row = first; row < end; row += 4, rows += 4 * stride) {
        uint32_t rest = end - row < 4 ? end - row : 4;
        __m128 scales = _mm_maskz_loadu_ps((__mmask8)((1u << rest) - 1), graph->scales + row);
        __m512i dots = _mm512_sub_epi32(dot_tile(rows, queries[0].high, stride), bias);
        __m512 score = _mm512_mul_ps(_mm512_cvtepi32_ps(dots), _mm512_broadcast_f32x4(scales));
        unsigned near = _mm512_cmp_ps_mask(_mm512_mul_ps(score, factor), limit, _CMP_GE_OQ);
        for (; near; near &= near - 1) {
            uint32_t place = (uint32_t)__builtin_ctz(near);
            if (place / 4 >= count || place % 4 >= rest) continue;
            lefts[found] = slot + place / 4;
            rights[found++] = row + place % 4;
        }
    }
    return found;
}

#define HAS_TILES
#define KERNELS preloop_code_vnni
#include "code_template.h"

#pragma clang attribute pop
#endif
