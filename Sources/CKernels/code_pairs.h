// All pairs of rows, a part of the template: with HAS_TILES, which the including file defines with
// `near_tiles`, four rows with four at a time.

static void unpack_rows(const preloop_code_graph *graph, uint32_t first, uint32_t end,
                        uint8_t *rows) {
    size_t stride = graph->stride, width = stride / 2;
    for (uint32_t slot = first; slot < end; slot++, rows += stride)
        unpack(graph->coarse + slot * width, graph->middle + slot * width, stride, rows);
}

#ifndef HAS_TILES
static inline __attribute__((always_inline)) size_t near_body(
    const preloop_code_graph *graph, const preloop_code_query *query, uint32_t first, uint32_t end,
    float floor, uint32_t *ids, size_t stride) {
    int32_t bias = 128 * query->high_sum;
    float scale = query->scale * 65536.0f;
    size_t count = 0;
    for (uint32_t slot = first; slot < end; slot += 4) {
        // The last rows are read again where fewer than four are left.
        uint32_t base = end - first < 4 ? first : slot + 4 <= end ? slot : end - 4;
        uint32_t four[4];
        int32_t dots[4];
        for (uint32_t j = 0; j < 4; j++) four[j] = base + j < end ? base + j : end - 1;
        dot_gathered(graph, query->high, four, stride, dots);
        for (uint32_t j = slot - base; j < 4 && base + j < end; j++) {
            ids[count] = base + j;
            count += (float)(dots[j] - bias) * graph->scales[base + j] * scale >= floor;
        }
    }
    return count;
}

static size_t near(const preloop_code_graph *graph, const preloop_code_query *query,
                   uint32_t first, uint32_t end, float floor, uint32_t *ids) {
    if (graph->stride == 384) return near_body(graph, query, first, end, floor, ids, 384);
    return near_body(graph, query, first, end, floor, ids, graph->stride);
}
#endif

static size_t near_pairs(const preloop_code_graph *graph, const uint8_t *rows, uint32_t first,
                         uint32_t end, uint32_t slot, size_t count, float floor, int8_t *buffer,
                         uint32_t *lefts, uint32_t *rights) {
    preloop_code_query queries[4] = {{0}};
    for (size_t j = 0; j < count; j++)
        load(graph, slot + (uint32_t)j, buffer + j * graph->stride, 0, &queries[j], graph->stride);
#ifdef HAS_TILES
    if (graph->stride == 384)
        return near_tiles(graph, rows, first, end, slot, queries, count, floor, lefts, rights, 384);
    return near_tiles(
        graph, rows, first, end, slot, queries, count, floor, lefts, rights, graph->stride);
#else
    (void)rows;
    size_t found = 0;
    for (size_t j = 0; j < count; j++) {
        size_t more = near(graph, &queries[j], first, end, floor, rights + found);
        for (size_t i = 0; i < more; i++) lefts[found + i] = slot + (uint32_t)j;
        found += more;
    }
    return found;
#endif
}
