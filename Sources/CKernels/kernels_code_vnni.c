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

#define KERNELS preloop_code_vnni
#include "code_template.h"

#pragma clang attribute pop
#endif
