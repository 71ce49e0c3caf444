// The parts of the template that AVX-512 does without branches, sixteen links at a time.

/// Writes the links of a node that were not visited to `ids`, marks them, returns how many.
static inline __attribute__((always_inline)) size_t unvisited_of(
    const preloop_code_graph *graph, uint32_t slot, uint64_t *visited, uint32_t *ids) {
    const __m512i none = _mm512_set1_epi32(-1), one = _mm512_set1_epi32(1);
    size_t start = slot * graph->degree, count = 0;
    uint32_t *words = (uint32_t *)visited;
    for (size_t i = 0; i < graph->degree; i += 16) {
        size_t rest = graph->degree - i;
        __mmask16 lanes = rest >= 16 ? 0xFFFF : (__mmask16)((1u << rest) - 1), valid;
        __m512i links;
        if (graph->narrow) {
            __m256i half = _mm256_maskz_loadu_epi16(lanes, graph->narrow + start + i);
            valid = _mm256_mask_cmpneq_epu16_mask(lanes, half, _mm256_set1_epi16(-1));
            links = _mm512_cvtepu16_epi32(half);
        } else {
            links = _mm512_maskz_loadu_epi32(lanes, graph->wide + start + i);
            valid = _mm512_mask_cmpneq_epu32_mask(lanes, links, none);
        }
        __m512i word = _mm512_mask_i32gather_epi32(
            none, valid, _mm512_srli_epi32(links, 5), words, 4);
        __m512i bit = _mm512_sllv_epi32(one, _mm512_and_si512(links, _mm512_set1_epi32(31)));
        __mmask16 fresh = _mm512_mask_testn_epi32_mask(valid, word, bit);
        _mm512_storeu_si512(ids + count, _mm512_maskz_compress_epi32(fresh, links));
        size_t end = count + (size_t)__builtin_popcount(fresh);
        for (; count < end; count++) words[ids[count] >> 5] |= 1u << (ids[count] & 31);
        if (valid != 0xFFFF) break;
    }
    return count;
}

/// Keeps what scores above the threshold, in place; returns how many.
static inline __attribute__((always_inline)) size_t above(uint32_t *ids, float *scores,
                                                          size_t count, float threshold) {
    const __m512 limit = _mm512_set1_ps(threshold);
    size_t kept = 0;
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 lanes = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
        __m512 score = _mm512_maskz_loadu_ps(lanes, scores + i);
        __m512i slots = _mm512_maskz_loadu_epi32(lanes, ids + i);
        __mmask16 good = _mm512_mask_cmp_ps_mask(lanes, score, limit, _CMP_GT_OQ);
        _mm512_storeu_ps(scores + kept, _mm512_maskz_compress_ps(good, score));
        _mm512_storeu_si512(ids + kept, _mm512_maskz_compress_epi32(good, slots));
        kept += (size_t)__builtin_popcount(good);
    }
    return kept;
}

/// The sums of the lanes of four vectors.
static inline __attribute__((always_inline)) void add_lanes(__m512i a, __m512i b, __m512i c,
                                                            __m512i d, int32_t *out) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(
        _mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    __m128i quarter = _mm_add_epi32(
        _mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    _mm_storeu_si128((__m128i *)out, quarter);
}

/// Scores from sums of upper halves: (16 * sum - bias) * length of the row * scale.
static inline __attribute__((always_inline)) void finish(
    const float *scales, const uint32_t *ids, const int32_t *sums, size_t count, int32_t bias,
    float scale, float *scores) {
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 lanes = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
        __m512i whole = _mm512_maskz_loadu_epi32(lanes, sums + i);
        whole = _mm512_sub_epi32(_mm512_slli_epi32(whole, 4), _mm512_set1_epi32(bias));
        __m512i slots = _mm512_maskz_loadu_epi32(lanes, ids + i);
        __m512 factor = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, slots, scales, 4);
        __m512 score = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), factor);
        _mm512_mask_storeu_ps(scores + i, lanes, _mm512_mul_ps(score, _mm512_set1_ps(scale)));
    }
}

#define HAS_UNPACKED_SUM
/// Unpacks high bytes without the 128 that are stored more, and returns the sum of those stored.
///
/// In whole registers: what is written in pieces and read as one has to reach the cache first.
static inline __attribute__((always_inline)) int32_t unpack_signed(const uint8_t *coarse,
                                                                   const uint8_t *middle,
                                                                   size_t stride, int8_t *high) {
    enum { choose = 0xCA };  // Bits of the second operand where the first has ones, else the third.
    const __m512i upper = _mm512_set1_epi8((char)0xF0), sign = _mm512_set1_epi8((char)0x80);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += 128) {
        __m512i a = _mm512_loadu_si512(coarse + i / 2), b = _mm512_loadu_si512(middle + i / 2);
        __m512i first = _mm512_ternarylogic_epi32(upper, _mm512_slli_epi16(a, 4), b, choose);
        __m512i second = _mm512_ternarylogic_epi32(upper, a, _mm512_srli_epi16(b, 4), choose);
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(first, _mm512_setzero_si512()));
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(second, _mm512_setzero_si512()));
        _mm512_storeu_si512(high + i, _mm512_xor_si512(first, sign));
        _mm512_storeu_si512(high + i + 64, _mm512_xor_si512(second, sign));
    }
    return (int32_t)_mm512_reduce_add_epi64(sum);
}

#define HAS_COMMON_NARROW
/// Whether two lists have a link in common, or the first holds `other`.
static int common_narrow(const uint16_t *left, const uint16_t *right, size_t degree,
                         uint32_t other) {
    const __m512i none = _mm512_set1_epi16(-1);
    // The least difference is 0 where a link is in both; what is no link differs from all.
    __m512i least = none;
    uint32_t common = 0;
    for (size_t i = 0; i < degree; i += 32) {
        size_t rest = degree - i;
        __mmask32 lanes = rest >= 32 ? 0xFFFFFFFFu : (1u << rest) - 1;
        __m512i links = _mm512_mask_loadu_epi16(none, lanes, right + i);
        for (size_t j = 0; j < degree && left[j] != 0xFFFF; j++) {
            __m512i difference = _mm512_xor_si512(links, _mm512_set1_epi16((short)left[j]));
            least = _mm512_min_epu16(least, difference);
            common |= left[j] == other;
        }
    }
    return common || _mm512_cmpeq_epi16_mask(least, _mm512_setzero_si512()) != 0;
}
