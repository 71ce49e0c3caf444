#include "code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// AVX-512 without VNNI.
#pragma clang attribute push(__attribute__((target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)

#include "code_avx512.h"
#include "code_rows.h"

typedef __m512i vector;

static inline __attribute__((always_inline)) vector zero(void) { return _mm512_setzero_si512(); }

static inline __attribute__((always_inline)) vector add_halves(vector sum, const uint8_t *row,
                                                               const int8_t *query) {
    const __m512i half = _mm512_set1_epi8(15);
    __m512i bytes = _mm512_loadu_si512(row);
    // Four products of at most 15 * 128 fit 16 bits.
    __m512i below = _mm512_maddubs_epi16(
        _mm512_and_si512(bytes, half), _mm512_loadu_si512(query));
    __m512i above = _mm512_maddubs_epi16(
        _mm512_and_si512(_mm512_srli_epi16(bytes, 4), half), _mm512_loadu_si512(query + 64));
    __m512i pairs = _mm512_add_epi16(below, above);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

static inline __attribute__((always_inline)) int32_t dot_bytes(const uint8_t *row,
                                                               const int8_t *query, size_t stride) {
    // Widened to 16 bits, because the product of bytes there is saturates.
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(row + i));
        __m256i factors = _mm256_loadu_si256((const __m256i *)(query + i));
        sum = _mm512_add_epi32(
            sum, _mm512_madd_epi16(_mm512_cvtepu8_epi16(bytes), _mm512_cvtepi8_epi16(factors)));
    }
    return _mm512_reduce_add_epi32(sum);
}

#include "code_halves.h"

#define KERNELS preloop_code_avx512
#include "code_template.h"

#pragma clang attribute pop
#endif
