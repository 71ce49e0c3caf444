// The parts of the template that have no special instructions without AVX-512.

/// Writes the links of a node that were not visited to `ids`, marks them, returns how many.
static inline __attribute__((always_inline)) size_t unvisited_of(
    const preloop_code_graph *graph, uint32_t slot, uint64_t *visited, uint32_t *ids) {
    size_t start = slot * graph->degree, count = 0;
    for (size_t i = 0; i < graph->degree; i++) {
        uint32_t link = graph->narrow ? graph->narrow[start + i] : graph->wide[start + i];
        if (link == (graph->narrow ? 0xFFFFu : 0xFFFFFFFFu)) break;
        // Branchless: whether a link was visited is close to a coin toss.
        uint64_t word = visited[link >> 6], bit = (uint64_t)1 << (link & 63);
        visited[link >> 6] = word | bit;
        ids[count] = link;
        count += !(word & bit);
    }
    return count;
}

/// Keeps what scores above the threshold, in place; returns how many.
static inline __attribute__((always_inline)) size_t above(uint32_t *ids, float *scores,
                                                          size_t count, float threshold) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        float score = scores[i];
        ids[kept] = ids[i];
        scores[kept] = score;
        kept += score > threshold;
    }
    return kept;
}

/// Scores from sums of upper halves: (16 * sum - bias) * length of the row * scale.
static inline __attribute__((always_inline)) void finish(
    const float *scales, const uint32_t *ids, const int32_t *sums, size_t count, int32_t bias,
    float scale, float *scores) {
    for (size_t i = 0; i < count; i++) {
        int32_t whole = (int32_t)((uint32_t)sums[i] * 16 - (uint32_t)bias);
        scores[i] = (float)whole * scales[ids[i]] * scale;
    }
}
