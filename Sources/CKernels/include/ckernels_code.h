#pragma once
// Kernels of the vector index: inner products of quantised vectors and walks of a graph of them.
//
// A vector of unit length is stored as 16-bit integers v = 256 * high + low, high and low both
// nearest-rounded to -128...127. Stored bytes have 128 added, because the dot product instructions
// multiply unsigned by signed; that of `high` is then cut into its upper and lower four bits, and
// each of the three parts has a plane of its own. Walks read the upper halves alone, a quarter of
// the memory, which gives an estimate; what they find is scored with high bytes, and the best of
// that with all. `scale` is 1 / |v|, so a stored vector is of unit length whatever rounding did.
//
// Of each 128 numbers of a row, byte i of 64 holds the halves of number i (below) and of number
// i + 64 (above).
//
// All sums are of integers and all roundings are single multiplications, so every instruction set
// gives the same bits.

#include <stddef.h>
#include <stdint.h>

/// Where the vectors and links of a graph lie.
typedef struct {
    const uint8_t *coarse;  ///< (slots, stride / 2): upper halves of high bytes plus 128.
    const uint8_t *middle;  ///< (slots, stride / 2): their lower halves.
    const uint8_t *low;     ///< (slots, stride): low bytes plus 128.
    const float *scales;    ///< (slots): 1 / |v|.
    const uint16_t *narrow; ///< (slots, degree): links of layer 0, 0xFFFF for none; or null.
    const uint32_t *wide;   ///< The same in 32 bits where `narrow` is null, 0xFFFFFFFF for none.
    size_t stride;          ///< Numbers per row, a multiple of 128; padding is 0.
    size_t degree;          ///< Places per list, at most 128.
} preloop_code_graph;

/// A vector to compare with stored ones.
typedef struct {
    const int8_t *high; ///< (stride), padded with 0, not above 127 or below -127.
    const int8_t *low;  ///< (stride), padded with 0.
    int32_t high_sum;   ///< Sum of `high`.
    int32_t low_sum;    ///< Sum of `low`.
    float scale;        ///< 1 / |v|.
} preloop_code_query;

/// What a walk remembers. The memory belongs to the caller.
typedef struct {
    uint64_t *visited;   ///< One bit per slot.
    uint64_t *entries;   ///< (capacity + 1): the search list, best first, see below.
    size_t capacity;     ///< Most entries kept, `ef`.
    size_t count;        ///< Entries in the list.
    size_t cursor;       ///< Entries before it have been followed.
    uint32_t *ids;       ///< (2 * degree + 16): slots to score.
    float *scores;       ///< (2 * degree + 16): their scores.
    size_t scored;       ///< Rows scored so far, the cost of the walk.
    float floor;         ///< A scan keeps what scores more; -3 before it.
} preloop_code_walk;

/// When a walk ends before its list is followed to the end: once the `wanted` best are known, a
/// node is not followed whose squared distance exceeds theirs by the factor `reach`. `reach` 0
/// follows all.
typedef struct {
    size_t wanted;
    float reach;
    float floor;  ///< Nothing below this score is followed; -3 for no such end.
    float margin; ///< A scan keeps what comes that near to the `wanted`-th best estimate.
} preloop_code_stop;

/// Which slots count as results: those whose key is in a bitmap or in a sorted array.
typedef struct {
    const int64_t *keys;   ///< (slots): key of each slot.
    const uint64_t *words; ///< Bitmap of keys from `first` on, or null.
    size_t word_count;
    int64_t first;
    const int64_t *sorted; ///< Ascending keys where `words` is null.
    size_t sorted_count;
} preloop_code_filter;

// An entry of a search list: the score in the upper half, as an unsigned number of the same order;
// in the lower half the inverted slot and, in bit 0, whether the node is still to be followed. So
// entries compare as scores do, and equal scores come by ascending slot.

/// The entry of a node that has not been followed.
static inline uint64_t preloop_code_entry(float score, uint32_t slot) {
    union { float value; uint32_t bits; } number = {score};
    uint32_t ordered = number.bits ^ ((uint32_t)((int32_t)number.bits >> 31) | 0x80000000u);
    return (uint64_t)ordered << 32 | (uint64_t)(~slot & 0x7FFFFFFFu) << 1 | 1;
}

/// The slot of an entry.
static inline uint32_t preloop_code_entry_slot(uint64_t entry) {
    return ~(uint32_t)(entry >> 1) & 0x7FFFFFFFu;
}

/// The score of an entry.
static inline float preloop_code_entry_score(uint64_t entry) {
    uint32_t ordered = (uint32_t)(entry >> 32);
    union { uint32_t bits; float value; } number = {
        ordered ^ ((ordered & 0x80000000u) ? 0x80000000u : 0xFFFFFFFFu)};
    return number.value;
}

/// Asks for the links of a node on layer 0, which will be read soon.
static inline void preloop_code_prefetch_links(const preloop_code_graph *graph, uint32_t slot) {
    size_t start = slot * graph->degree;
    if (graph->narrow) {
        __builtin_prefetch(graph->narrow + start);
    } else {
        __builtin_prefetch(graph->wide + start);
        __builtin_prefetch(graph->wide + start + graph->degree / 2);
    }
}

// Every function takes the set of instructions to use first (ckernels_level.h); a larger one than
// the machine has gets the machine's best.

/// Quantises a vector of `count` finite floats, not all 0, to planes of `stride` signed bytes.
/// Returns 1 / |v| of the integers.
float preloop_code_quantise(int level, const float *vector, size_t count, size_t stride,
                            int8_t *high, int8_t *low, int32_t *high_sum, int32_t *low_sum);

/// Scores of the high bytes of gathered rows, rows prefetched ahead.
void preloop_code_score(int level, const preloop_code_graph *graph,
                        const preloop_code_query *query, const uint32_t *ids, size_t count,
                        float *scores);

/// Estimates of the scores of gathered rows, by upper halves of high bytes.
void preloop_code_estimate(int level, const preloop_code_graph *graph,
                           const preloop_code_query *query, const uint32_t *ids, size_t count,
                           float *scores);

/// Scores of both bytes of gathered rows.
void preloop_code_score_fully(int level, const preloop_code_graph *graph,
                              const preloop_code_query *query, const uint32_t *ids, size_t count,
                              float *scores);

/// Makes a stored row a query: `high` and `low` (may be null) receive `stride` bytes each.
void preloop_code_load(int level, const preloop_code_graph *graph, uint32_t slot, int8_t *high,
                       int8_t *low, preloop_code_query *query);

/// Writes a query's bytes as a stored row of three planes.
void preloop_code_store(int level, const int8_t *high, const int8_t *low, size_t stride,
                        uint8_t *coarse, uint8_t *middle, uint8_t *rest);

/// SEARCH-LAYER on layer 0 (Algorithm 2, Malkov & Yashunin 2016): follows the entries of
/// `walk->entries`, which are marked as visited, until nothing better is left. Scores are
/// estimates.
void preloop_code_walk_base(int level, const preloop_code_graph *graph,
                            const preloop_code_query *query, const preloop_code_stop *stop,
                            preloop_code_walk *walk);

/// Scores the first `count` entries of a list of estimates by high bytes, sorts them and drops the
/// others.
void preloop_code_refine(int level, const preloop_code_graph *graph,
                         const preloop_code_query *query, size_t count, preloop_code_walk *walk);

/// The walk of layer 0, collecting in `results` only what passes the filter (`results` has its own
/// entries; its other memory is not used). Gives up when more than `budget` rows have been scored
/// or the frontier overflows; returns whether it came to its end.
int preloop_code_walk_filtered(int level, const preloop_code_graph *graph,
                               const preloop_code_query *query, const preloop_code_filter *filter,
                               const preloop_code_stop *stop, size_t budget,
                               preloop_code_walk *walk, preloop_code_walk *results);

/// Estimates the scores of gathered rows and keeps in `best->entries`, in no order, the `wanted`
/// best, twice as many and 16 at least, and what comes within the margin of the last wanted, at
/// most `capacity`, which is not less than the fewest. Entries beyond these are kept for a while:
/// there is room for (2 * capacity + 192). May be called again with other rows; before the first,
/// `best` is empty, its cursor 0 and its floor -3.
void preloop_code_scan(int level, const preloop_code_graph *graph,
                       const preloop_code_query *query, const uint32_t *ids, size_t count,
                       const preloop_code_stop *stop, preloop_code_walk *best);

/// Ends a scan: drops what need not be kept and sorts the rest, best first.
void preloop_code_settle(int level, const preloop_code_stop *stop, preloop_code_walk *best);

/// The slots of `first ..< end` that are live (bit 7 of `states`) and pass the filter, which may
/// be null; returns how many were written to `ids`.
size_t preloop_code_passing(int level, const preloop_code_filter *filter, const uint8_t *states,
                            uint32_t first, uint32_t end, uint32_t *ids);

/// SELECT-NEIGHBORS-HEURISTIC (Algorithm 4): walks `entries`, best first, and marks in `kept` those
/// not as near to one marked before as to the node the scores belong to; stops at `wanted`.
/// `buffer` is (stride) bytes and `slots` (wanted + 4) numbers of scratch. Returns how many
/// entries were decided.
size_t preloop_code_diversify(int level, const preloop_code_graph *graph, const uint64_t *entries,
                              size_t count, size_t wanted, float factor, uint8_t *kept,
                              int8_t *buffer, uint32_t *slots);

/// The links of `node`, which are `ids`, and a `newcomer` of that score to it, in the order in
/// which the node can spare them: those SELECT-NEIGHBORS-HEURISTIC would not choose, farthest
/// first, then the others, farthest first. Ends with the newcomer unless `all`. `buffer` is
/// (stride) bytes, `order` takes count + 1 slots, and count is at most 128. Returns how many were
/// written.
size_t preloop_code_victims(int level, const preloop_code_graph *graph, uint32_t node,
                            const uint32_t *ids, size_t count, uint32_t newcomer, float score,
                            float factor, int all, int8_t *buffer, uint32_t *order);

/// Whether two lists of links share a slot, or the first holds `other`. They are (degree) places of
/// 16 bits if `narrow`, else of 32, filled from the front; the rest of the places are all ones.
int preloop_code_have_common(int level, const void *first, const void *second, size_t degree,
                             int narrow, uint32_t other);

/// Writes high bytes plus 128 of the rows of `first ..< end` one behind the other.
void preloop_code_unpack(int level, const preloop_code_graph *graph, uint32_t first, uint32_t end,
                         uint8_t *rows);

/// The pairs of the `count` rows from `slot` on, at most 4, with those of `first ..< end`, which
/// `rows` holds unpacked, that score at least `floor` by high bytes. `rows` is readable up to a
/// multiple of four rows, `buffer` is (4 * stride) bytes, `lefts` and `rights` take 4 * (end -
/// first) + 1 slots. Returns how many pairs were written.
size_t preloop_code_near_pairs(int level, const preloop_code_graph *graph, const uint8_t *rows,
                               uint32_t first, uint32_t end, uint32_t slot, size_t count,
                               float floor, int8_t *buffer, uint32_t *lefts, uint32_t *rights);

/// Puts an entry in its place; drops the worst when the list is full. Returns its place, or
/// `capacity` when it is not better than the worst.
size_t preloop_code_offer(preloop_code_walk *walk, uint64_t entry);
