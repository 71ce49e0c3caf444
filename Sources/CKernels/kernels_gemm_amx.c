#include "gemm_shared.h"

#if defined(__x86_64__)

// The level of tile registers: int8 and bfloat16 products, and attention in bfloat16.
//
// A tile register holds 16 rows of 64 bytes; one instruction multiplies 16 rows of activations, 64
// bytes of each, with 16 steps of 16 outputs, in 16 cycles. Four accumulators of 32 rows x 32
// outputs need four loads for four products, which the first cache gives in half the time.
//
// While the tiles of one block are multiplied the vector unit turns the sums of the block before
// into output. The processor does not look far enough ahead to find that by itself, so the loops
// are interleaved by hand: a step of products now and then between the rows of the epilogue.
//
// Tiles are configured for a call and released at its end: a thread that holds none costs nothing
// more to switch, and no two users of tiles meet.

#define AMX                                                                                       \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,"                     \
    "amx-tile,amx-int8,amx-bf16"
#pragma clang attribute push(__attribute__((target(AMX))), apply_to = function)

enum {
    tile_rows = 16,
    tile_bytes = 64,
    step_bytes = 4 * PRELOOP_GEMM_COLUMNS,
    /// Bytes of a panel that one product of tiles takes.
    panel_part = tile_rows * step_bytes,
};

/// The operand of LDTILECFG with all eight registers whole.
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_configuration;

INLINE void begin_tiles(void) {
    tile_configuration whole = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        whole.bytes[tile] = tile_bytes;
        whole.rows[tile] = tile_rows;
    }
    _tile_loadconfig(&whole);
}

// Registers: 0 to 3 the sums of two times two tiles, 4 and 5 activations, 6 and 7 weights.

/// Products of a block under way.
struct tile_walk {
    const char *left, *right;
    size_t pitch; ///< Bytes of a row on the left.
    size_t steps; ///< Left to do.
    int is_int8, is_tall; ///< Of more than 16 rows.
    size_t pace, credit;  ///< Steps that go with an epilogue, and how much of the next is due.
};

INLINE void clear_sums(void) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/// Multiplies 64 bytes of each row.
INLINE void walk_step(struct tile_walk *walk) {
    _tile_loadd(6, walk->right, step_bytes);
    _tile_loadd(4, walk->left, walk->pitch);
    _tile_loadd(7, walk->right + tile_bytes, step_bytes);
    if (walk->is_int8) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
    } else {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (walk->is_tall) {
        _tile_loadd(5, walk->left + tile_rows * walk->pitch, walk->pitch);
        if (walk->is_int8) {
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        } else {
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    walk->left += tile_bytes;
    walk->right += panel_part;
    walk->steps--;
}

INLINE void store_sums(char *out, size_t pitch, int is_tall) {
    _tile_stored(0, out, pitch);
    _tile_stored(1, out + tile_bytes, pitch);
    if (!is_tall) return;
    _tile_stored(2, out + tile_rows * pitch, pitch);
    _tile_stored(3, out + tile_rows * pitch + tile_bytes, pitch);
}

/// Called behind each of the rows of an epilogue, twice a row.
INLINE void finished_row(struct tile_walk *walk) {
    if (!walk) return;
    for (walk->credit += walk->pace; walk->credit >= 2 * PRELOOP_GEMM_MOST_ROWS && walk->steps;
         walk->credit -= 2 * PRELOOP_GEMM_MOST_ROWS)
        walk_step(walk);
}

#define FINISHED_ROW(place) finished_row((place)->next)
#define LEVEL_HAS_BFLOAT16
#define LEVEL amx
#include "gemm_epilogue_body.h"

/// The block of `count` 32-row parts of a stripe, counted panel by panel.
INLINE struct tile_walk walk_of(const preloop_gemm *g, tile_place *place) {
    size_t depth = panel_steps(g->format, g->inputs);
    size_t element = element_size(g->format), pitch = g->activation_stride * element;
    size_t panel = place->column / PRELOOP_GEMM_COLUMNS;
    struct tile_walk walk = {
        .left = (const char *)g->activations + place->row * pitch,
        .right = (const char *)g->weights + panel * depth * step_bytes,
        .pitch = pitch,
        .steps = depth / tile_rows,
        .is_int8 = g->format == preloop_gemm_int8,
        .is_tall = place->rows > tile_rows,
        .pace = depth / tile_rows,
    };
    return walk;
}

void preloop_tiles_gemm(const preloop_gemm *g) {
    if (g->rows == 0) return;
    // Rows of a stripe stay in the second cache while the weights pass by, and weights of a panel
    // in the first while the rows do.
    enum { stripe = 4 * PRELOOP_GEMM_MOST_ROWS };
    tile_sums sums[2];
    begin_tiles();
    for (size_t first = 0; first < g->rows; first += stripe) {
        size_t end = first + stripe < g->rows ? first + stripe : g->rows;
        tile_place place = {first, 0, 0, NULL};
        int turn = 0, is_first = 1;
        // One block ahead: its products run beside the epilogue of the one before.
        for (tile_place ahead = place; ahead.column < g->outputs;) {
            ahead.rows = end - ahead.row;
            if (ahead.rows > PRELOOP_GEMM_MOST_ROWS) ahead.rows = PRELOOP_GEMM_MOST_ROWS;
            struct tile_walk walk = walk_of(g, &ahead);
            clear_sums();
            if (!is_first) {
                place.next = &walk;
                FN(finish)(g, &sums[!turn], &place);
            }
            while (walk.steps) walk_step(&walk);
            store_sums((char *)sums[turn].integers, step_bytes, walk.is_tall);
            turn = !turn;
            is_first = 0;
            place = ahead;
            ahead.row += ahead.rows;
            if (ahead.row == end) {
                ahead.row = first;
                ahead.column += PRELOOP_GEMM_COLUMNS;
            }
        }
        place.next = NULL;
        FN(finish)(g, &sums[!turn], &place);
    }
    _tile_release();
}

// MARK: Attention

/// 16 keys, 16 times four bytes of each, to 16 steps of 16 keys.
INLINE void transpose(const __m512i in[tile_rows], char *out) {
    __m512i a[tile_rows], b[tile_rows];
    UNROLL for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(in[i], in[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(in[i], in[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
        a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xDD);
        a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xDD);
    }
    UNROLL for (int i = 0; i < 8; i++) {
        __m512i even = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
        __m512i odd = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xDD);
        _mm512_storeu_si512(out + i * step_bytes, even);
        _mm512_storeu_si512(out + (i + 8) * step_bytes, odd);
    }
}

/// As pack_keys, 16 keys at a time; keys behind the last are whatever lies there.
static void pack_keys_amx(const preloop_attention *a, size_t head, char *out) {
    size_t panel = a->head_size / 2 * step_bytes;
    const uint16_t *keys = (const uint16_t *)a->key + head * a->head_size;
    for (size_t first = 0; first < a->rows; first += tile_rows)
        for (size_t c = 0; c < a->head_size; c += 32) {
            __m512i rows[tile_rows];
            UNROLL for (size_t r = 0; r < tile_rows; r++)
                rows[r] = _mm512_loadu_si512(keys + (first + r) * a->stride + c);
            transpose(
                rows, out + first / 32 * panel + first % 32 * 4 + c / 2 * step_bytes);
        }
}

/// As pack_values, with zeros up to a whole panel of keys.
static void pack_values_amx(const preloop_attention *a, size_t head, char *out) {
    size_t padded = whole_panels(a->rows);
    const uint16_t *values = (const uint16_t *)a->value + head * a->head_size;
    const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    for (size_t c = 0; c < a->head_size; c += 32)
        for (size_t j = 0; j < padded; j += 2, out += step_bytes) {
            const uint16_t *row = values + j * a->stride + c;
            __m512i even = _mm512_maskz_loadu_epi16(j < a->rows ? ~0u : 0, row);
            __m512i odd = _mm512_maskz_loadu_epi16(j + 1 < a->rows ? ~0u : 0, row + a->stride);
            __m512i first = _mm512_unpacklo_epi16(even, odd);
            __m512i second = _mm512_unpackhi_epi16(even, odd);
            _mm512_storeu_si512(out, _mm512_permutex2var_epi64(first, low, second));
            _mm512_storeu_si512(
                out + tile_bytes, _mm512_permutex2var_epi64(first, high, second));
        }
}

/// 2^x, relative error below 8e-5, which bfloat16 does not show; no x is too small.
INLINE __m512 exp2_short(__m512 x) {
    __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
    __m512 p = _mm512_fmadd_ps(r, _mm512_set1_ps(0.078023821f), _mm512_set1_ps(0.22606689f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.69583434f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.99992508f));
    return _mm512_scalef_ps(p, x);
}

/// The exponents of a row of scores in bfloat16, zero behind `count`; returns their sum.
INLINE float shares_of(const float *scores, size_t count, uint16_t *shares) {
    size_t whole = count / 32 * 32;
    uint32_t rest = count > whole ? ~0u >> (32 - (count - whole)) : 0;
    __mmask16 first = (__mmask16)rest, second = (__mmask16)(rest >> 16);
    __m512 large = _mm512_set1_ps(-INFINITY), largest = large;
    for (size_t k = 0; k < whole; k += 32) {
        large = _mm512_max_ps(large, _mm512_loadu_ps(scores + k));
        largest = _mm512_max_ps(largest, _mm512_loadu_ps(scores + k + 16));
    }
    if (rest) {
        large = _mm512_mask_max_ps(large, first, large, _mm512_loadu_ps(scores + whole));
        largest =
            _mm512_mask_max_ps(largest, second, largest, _mm512_loadu_ps(scores + whole + 16));
    }
    __m512 most = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(large, largest)));
    __m512 sum = _mm512_setzero_ps(), sums = sum;
    for (size_t k = 0; k < whole; k += 32) {
        __m512 a = exp2_short(_mm512_sub_ps(_mm512_loadu_ps(scores + k), most));
        __m512 b = exp2_short(_mm512_sub_ps(_mm512_loadu_ps(scores + k + 16), most));
        sum = _mm512_add_ps(sum, a);
        sums = _mm512_add_ps(sums, b);
        _mm512_storeu_si512(shares + k, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
    if (rest) {
        __m512 a = exp2_short(_mm512_sub_ps(_mm512_loadu_ps(scores + whole), most));
        __m512 b = exp2_short(_mm512_sub_ps(_mm512_loadu_ps(scores + whole + 16), most));
        a = _mm512_maskz_mov_ps(first, a);
        b = _mm512_maskz_mov_ps(second, b);
        sum = _mm512_add_ps(sum, a);
        sums = _mm512_add_ps(sums, b);
        _mm512_storeu_si512(shares + whole, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sum, sums));
}

/// Rows `row` on of a head's context from sums of 32 numbers.
INLINE void write_context(
    const preloop_attention *a, const float *sums, const float *factors, size_t row, size_t count,
    size_t column) {
    for (size_t r = 0; r < count; r++) {
        __m512 factor = _mm512_set1_ps(factors[r]);
        __m512 x = _mm512_mul_ps(_mm512_load_ps(sums + r * 32), factor);
        __m512 y = _mm512_mul_ps(_mm512_load_ps(sums + r * 32 + 16), factor);
        size_t place = (row + r) * a->context_stride + column;
        if (a->context_is_bfloat16) {
            _mm512_storeu_si512(
                (uint16_t *)a->context + place, (__m512i)_mm512_cvtne2ps_pbh(y, x));
        } else {
            _mm512_storeu_ps((float *)a->context + place, x);
            _mm512_storeu_ps((float *)a->context + place + 16, y);
        }
    }
}

/// One head, 32 queries at a time.
static void attend_amx(const preloop_attention *a, size_t head) {
    attention_parts parts = parts_of(a);
    pack_keys_amx(a, head, parts.keys);
    pack_values_amx(a, head, parts.values);
    size_t size = a->head_size, padded = whole_panels(a->rows);
    tile_sums sums;
    for (size_t row = 0; row < a->rows; row += PRELOOP_GEMM_MOST_ROWS) {
        size_t count = a->rows - row;
        if (count > PRELOOP_GEMM_MOST_ROWS) count = PRELOOP_GEMM_MOST_ROWS;
        struct tile_walk walk = {.pitch = 2 * a->stride, .is_tall = count > tile_rows};
        for (size_t k = 0; k < padded; k += PRELOOP_GEMM_COLUMNS) {
            walk.left = (const char *)((const uint16_t *)a->query + row * a->stride + head * size);
            walk.right = parts.keys + k * size * 2;
            clear_sums();
            for (walk.steps = size / 32; walk.steps;) walk_step(&walk);
            store_sums((char *)(parts.scores + k), 4 * padded, walk.is_tall);
        }
        float factors[PRELOOP_GEMM_MOST_ROWS];
        for (size_t r = 0; r < count; r++)
            factors[r] =
                1 / shares_of(parts.scores + r * padded, a->rows, parts.shares + r * padded);
        walk.pitch = 2 * padded;
        for (size_t c = 0; c < size; c += 32) {
            walk.left = (const char *)parts.shares;
            walk.right = parts.values + c * padded * 2;
            clear_sums();
            for (walk.steps = padded / 32; walk.steps;) walk_step(&walk);
            store_sums((char *)sums.floats, step_bytes, walk.is_tall);
            write_context(a, sums.floats, factors, row, count, head * size + c);
        }
    }
}

void preloop_tiles_attention(const preloop_attention *a) {
    begin_tiles();
    for (size_t head = 0; head < a->heads; head++) attend_amx(a, head);
    _tile_release();
    clear_padding(a);
}

#pragma clang attribute pop
#endif
