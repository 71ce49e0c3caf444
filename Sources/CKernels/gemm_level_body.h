// The kernels of ckernels_gemm.h, written once and included by kernels_gemm.c once a level, behind
// gemm_epilogue_body.h; ends with the level's table of functions. The includer defines TILE_ROWS
// and TILE_VECTORS (the register tile of float32), and the tiles of int8 and bfloat16.

// MARK: Register tiles

/// out[r, c] = sum over k of a[r, k] b[k, c] for 12 rows and 32 columns, as parts of TILE_ROWS rows
/// and TILE_VECTORS vectors that fit the registers.
static void FN(tile_float32)(
    const float *a, size_t stride, const float *b, size_t depth, float *out, size_t out_stride) {
    for (size_t row = 0; row < PRELOOP_GEMM_ROWS; row += TILE_ROWS)
        for (size_t column = 0; column < PRELOOP_GEMM_COLUMNS; column += 16 * TILE_VECTORS) {
            v16f sums[TILE_ROWS][TILE_VECTORS] = {0};
            for (size_t k = 0; k < depth; k++) {
                v16f right[TILE_VECTORS];
                UNROLL for (size_t v = 0; v < TILE_VECTORS; v++)
                    right[v] = LOAD(b + k * PRELOOP_GEMM_COLUMNS + column + 16 * v);
                UNROLL for (size_t r = 0; r < TILE_ROWS; r++) {
                    float left = a[(row + r) * stride + k];
                    UNROLL for (size_t v = 0; v < TILE_VECTORS; v++)
                        sums[r][v] = left * right[v] + sums[r][v];
                }
            }
            UNROLL for (size_t r = 0; r < TILE_ROWS; r++)
                UNROLL for (size_t v = 0; v < TILE_VECTORS; v++)
                    STORE(out + (row + r) * out_stride + column + 16 * v, sums[r][v]);
        }
}

// MARK: Products

static void FN(gemm)(const preloop_gemm *g) {
    size_t depth = steps_of(g->format, g->inputs);
    size_t panel_size = panel_steps(g->format, g->inputs) * 4 * PRELOOP_GEMM_COLUMNS;
    size_t element = element_size(g->format);
    // Rows and outputs of a stripe stay in the second cache while the weights pass by.
    enum { stripe = 8 * PRELOOP_GEMM_ROWS };
    for (size_t first = 0; first < g->rows; first += stripe) {
        size_t end = first + stripe < g->rows ? first + stripe : g->rows;
        for (size_t column = 0; column < g->outputs; column += PRELOOP_GEMM_COLUMNS) {
            const char *panel =
                (const char *)g->weights + column / PRELOOP_GEMM_COLUMNS * panel_size;
            for (size_t row = first; row < end; row += PRELOOP_GEMM_ROWS) {
                tile_sums sums;
                const void *a =
                    (const char *)g->activations + row * g->activation_stride * element;
                switch (g->format) {
                case preloop_gemm_int8:
                    TILE_INT8(
                        a, g->activation_stride, (const int8_t *)panel, depth, sums.integers);
                    break;
                case preloop_gemm_bfloat16:
                    TILE_BFLOAT16(
                        a, g->activation_stride, (const uint16_t *)panel, depth, sums.floats,
                        PRELOOP_GEMM_COLUMNS);
                    break;
                default:
                    FN(tile_float32)(
                        a, g->activation_stride, (const float *)panel, depth, sums.floats,
                        PRELOOP_GEMM_COLUMNS);
                }
                tile_place place = {row, end - row, column, NULL};
                if (place.rows > PRELOOP_GEMM_ROWS) place.rows = PRELOOP_GEMM_ROWS;
                FN(finish)(g, &sums, &place);
            }
        }
    }
}

// MARK: Packing

/// The step between 8-bit weights: of a few below largest / 127 the one with the least sum of
/// squared errors. Clipping the few large weights of a row makes all others finer.
static float FN(weight_step)(const float *w, size_t count) {
    v16f largest = 0.0f;
    size_t blocked = count - count % 16;
    for (size_t k = 0; k < blocked; k += 16) {
        v16f v = LOAD(w + k);
        largest = FN(max)(largest, FN(max)(v, -v));
    }
    float most = FN(max_of)(largest);
    for (size_t k = blocked; k < count; k++) most = fabsf(w[k]) > most ? fabsf(w[k]) : most;
    if (!(most > 0) || blocked == 0) return most / 127;
    float best = most / 127, least = INFINITY;
    for (int part = 0; part < 8; part++) {
        float step = most * (1.0f - 0.06f * (float)part) / 127;
        float inverse = 1 / step;
        v16f squares = 0.0f;
        for (size_t k = 0; k < blocked; k += 16) {
            v16f v = LOAD(w + k) * inverse;
            v16f q = FN(min)(FN(max)(v, (v16f)(-127.0f)), (v16f)127.0f);
            q = (q + 12582912.0f) - 12582912.0f;
            squares += (v - q) * (v - q);
        }
        float error = FN(sum_of)(squares) * step * step;
        if (error < least) {
            least = error;
            best = step;
        }
    }
    return best;
}

/// Packs one output's weights, `w`, as output `j`.
static void FN(pack_int8)(const preloop_gemm_packing *p, float *w, size_t j) {
    for (size_t i = 0; i < PRELOOP_GEMM_EXACT; i++) {
        p->exact_weights[i * whole_panels(p->outputs) + j] = w[p->exact[i]];
        w[p->exact[i]] = 0;
    }
    float step = FN(weight_step)(w, p->inputs);
    float inverse = step > 0 ? 1 / step : 0;
    size_t depth = panel_steps(preloop_gemm_int8, p->inputs);
    int8_t *out = (int8_t *)p->packed
        + j / PRELOOP_GEMM_COLUMNS * depth * 4 * PRELOOP_GEMM_COLUMNS
        + j % PRELOOP_GEMM_COLUMNS * 4;
    int64_t sum = 0;
    float strange = 0;
    for (size_t k = 0; k < p->inputs; k += 4) {
        int8_t *group = out + k * PRELOOP_GEMM_COLUMNS;
        for (size_t i = 0; i < 4 && k + i < p->inputs; i++) {
            float v = w[k + i] * inverse;
            strange += w[k + i] - w[k + i];
            v = v < -127.0f ? -127.0f : v;
            v = v > 127.0f ? 127.0f : v;
            int q = v == v ? (int)(v + (v < 0 ? -0.5f : 0.5f)) : 0;
            group[i] = (int8_t)q;
            sum += q;
        }
    }
    // Weights that are not finite must not become vectors that are.
    p->weight_scale[j] = strange == 0 ? step : NAN;
    p->weight_sum[j] = step * (float)sum;
}

static void FN(pack)(
    const preloop_gemm_packing *p, const float *weights, size_t first, size_t outputs,
    const float *output_factors, const float *input_factors) {
    size_t group = group_of(p->format), depth = panel_steps(p->format, p->inputs);
    for (size_t o = 0; o < outputs; o++) {
        const float *row = weights + o * p->inputs;
        float factor = output_factors ? output_factors[o] : 1;
        for (size_t k = 0; k < p->inputs; k++)
            p->scratch[k] = row[k] * factor * (input_factors ? input_factors[k] : 1);
        size_t j = first + o;
        if (p->format == preloop_gemm_int8) {
            FN(pack_int8)(p, p->scratch, j);
            continue;
        }
        size_t lane = j % PRELOOP_GEMM_COLUMNS;
        size_t panel = j / PRELOOP_GEMM_COLUMNS * depth * group * PRELOOP_GEMM_COLUMNS;
        for (size_t k = 0; k < p->inputs; k++) {
            size_t place =
                panel + (k / group * PRELOOP_GEMM_COLUMNS + lane) * group + k % group;
            if (p->format == preloop_gemm_float32)
                ((float *)p->packed)[place] = p->scratch[k];
            else
                ((uint16_t *)p->packed)[place] = bfloat16_of(p->scratch[k]);
        }
    }
}

static void FN(column_squares)(
    const float *weights, size_t outputs, size_t inputs, float *squares) {
    for (size_t o = 0; o < outputs; o++) {
        const float *row = weights + o * inputs;
        for (size_t k = 0; k < inputs; k++) squares[k] += row[k] * row[k];
    }
}

static void FN(moments)(
    const float *weights, size_t outputs, size_t inputs, const float *mean, const float *variance,
    float *output_mean, float *output_variance) {
    size_t blocked = inputs - inputs % 16;
    for (size_t o = 0; o < outputs; o++) {
        const float *row = weights + o * inputs;
        v16f means = 0.0f, variances = 0.0f;
        for (size_t k = 0; k < blocked; k += 16) {
            v16f w = LOAD(row + k);
            means += w * LOAD(mean + k);
            variances += w * w * LOAD(variance + k);
        }
        float m = FN(sum_of)(means), v = FN(sum_of)(variances);
        for (size_t k = blocked; k < inputs; k++) {
            m += row[k] * mean[k];
            v += row[k] * row[k] * variance[k];
        }
        output_mean[o] = m;
        output_variance[o] = v;
    }
}

// MARK: Rows

/// Quantises one row.
INLINE void FN(quantize_row)(
    const float *x, size_t columns, const float *factors, uint8_t *out, size_t stride,
    float *scale, float *low) {
    size_t blocked = columns - columns % 16;
    v16f least = INFINITY, largest = -INFINITY, odd = 0.0f;
    for (size_t c = 0; c < blocked; c += 16) {
        v16f v = LOAD(x + c);
        if (factors) v *= LOAD(factors + c);
        least = FN(min)(v, least);
        largest = FN(max)(v, largest);
        odd += v - v;
    }
    // `strange` is zero if all are finite, else NaN.
    float lo = -FN(max_of)(-least), hi = FN(max_of)(largest), strange = FN(sum_of)(odd);
    for (size_t c = blocked; c < columns; c++) {
        float v = factors ? x[c] * factors[c] : x[c];
        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
        strange += v - v;
    }
    float range = hi - lo;
    if (!(strange == 0) || !(range < INFINITY)) {
        memset(out, 0, stride);
        *scale = *low = NAN;
        return;
    }
    float inverse = range > 1e-30f ? 255 / range : 0;
    for (size_t c = 0; c < blocked; c += 16) {
        v16f v = LOAD(x + c);
        if (factors) v *= LOAD(factors + c);
        v16i q = __builtin_convertvector((v - lo) * inverse + 0.5f, v16i);
        *(v16u8 *)(out + c) = __builtin_convertvector(q, v16u8);
    }
    for (size_t c = blocked; c < columns; c++) {
        float v = factors ? x[c] * factors[c] : x[c];
        out[c] = (uint8_t)((v - lo) * inverse + 0.5f);
    }
    memset(out + columns, 0, stride - columns);
    *scale = range / 255;
    *low = lo;
}

/// Quantises one row, the exact columns apart.
INLINE void FN(quantize_one)(
    float *x, size_t columns, const float *factors, const size_t *exact,
    const preloop_quantized *out, size_t r) {
    float kept[PRELOOP_GEMM_EXACT];
    for (size_t i = 0; i < PRELOOP_GEMM_EXACT; i++) {
        kept[i] = x[exact[i]];
        out->exact[r * PRELOOP_GEMM_EXACT + i] = kept[i] * (factors ? factors[exact[i]] : 1);
        x[exact[i]] = 0;
    }
    FN(quantize_row)(
        x, columns, factors, out->codes + r * out->stride, out->stride, out->scale + r,
        out->low + r);
    // Backwards, should a column stand there twice.
    for (size_t i = PRELOOP_GEMM_EXACT; i-- > 0;) x[exact[i]] = kept[i];
}

static void FN(quantize)(
    float *x, size_t rows, size_t columns, const float *factors, const size_t *exact,
    const preloop_quantized *out) {
    for (size_t r = 0; r < rows; r++)
        FN(quantize_one)(x + r * columns, columns, factors, exact, out, r);
}

INLINE void FN(round_row)(const float *x, size_t columns, uint16_t *out, size_t out_stride) {
    size_t blocked = columns - columns % 16;
    for (size_t c = 0; c < blocked; c += 16) STORE16(out + c, FN(to_bfloat16)(LOAD(x + c)));
    for (size_t c = blocked; c < columns; c++) out[c] = bfloat16_of(x[c]);
    memset(out + columns, 0, 2 * (out_stride - columns));
}

static void FN(round_rows)(
    const float *x, size_t rows, size_t columns, uint16_t *out, size_t out_stride) {
    for (size_t r = 0; r < rows; r++)
        FN(round_row)(x + r * columns, columns, out + r * out_stride, out_stride);
}

INLINE void FN(normalize_row)(float *x, size_t columns, const preloop_normalization *by) {
    size_t blocked = columns - columns % 16;
    v16f sums = 0.0f;
    for (size_t c = 0; c < blocked; c += 16) sums += LOAD(x + c);
    float sum = FN(sum_of)(sums);
    for (size_t c = blocked; c < columns; c++) sum += x[c];
    float mean = sum / (float)columns;
    // Two passes: E[x^2] - E[x]^2 would cancel.
    v16f squares = 0.0f;
    for (size_t c = 0; c < blocked; c += 16) {
        v16f d = LOAD(x + c) - mean;
        squares += d * d;
    }
    float square = FN(sum_of)(squares);
    for (size_t c = blocked; c < columns; c++) square += (x[c] - mean) * (x[c] - mean);
    float factor = 1 / sqrtf(square / (float)columns + by->epsilon);
    for (size_t c = 0; c < blocked; c += 16)
        STORE(x + c, (LOAD(x + c) - mean) * factor * LOAD(by->scale + c) + LOAD(by->shift + c));
    for (size_t c = blocked; c < columns; c++)
        x[c] = (x[c] - mean) * factor * by->scale[c] + by->shift[c];
}

static void FN(normalize)(
    float *x, size_t rows, size_t columns, const preloop_normalization *by) {
    for (size_t r = 0; r < rows; r++) FN(normalize_row)(x + r * columns, columns, by);
}

static void FN(normalize_quantize)(
    float *x, size_t rows, size_t columns, const preloop_normalization *by, const float *factors,
    const size_t *exact, const preloop_quantized *out) {
    for (size_t r = 0; r < rows; r++) {
        FN(normalize_row)(x + r * columns, columns, by);
        FN(quantize_one)(x + r * columns, columns, factors, exact, out, r);
    }
}

static void FN(normalize_round)(
    float *x, size_t rows, size_t columns, const preloop_normalization *by, uint16_t *out,
    size_t out_stride) {
    for (size_t r = 0; r < rows; r++) {
        FN(normalize_row)(x + r * columns, columns, by);
        FN(round_row)(x + r * columns, columns, out + r * out_stride, out_stride);
    }
}

// MARK: Attention

/// Exponents of one row of scores in place, the padding to a multiple of 32 with ones of 2^-126;
/// returns their sum.
static float FN(soften)(float *scores, size_t count, size_t padded) {
    for (size_t k = count; k < padded; k++) scores[k] = -INFINITY;
    v16f largest = LOAD(scores);
    for (size_t k = 16; k < padded; k += 16) largest = FN(max)(largest, LOAD(scores + k));
    float most = FN(max_of)(largest);
    v16f sums = 0.0f;
    for (size_t k = 0; k < padded; k += 16) {
        v16f e = FN(exp2)(LOAD(scores + k) - most);
        STORE(scores + k, e);
        sums += e;
    }
    return FN(sum_of)(sums);
}

/// One head: packs keys and values, then goes through the queries a tile of rows at a time, with
/// scores and exponents in the first cache.
static void FN(attend)(const preloop_attention *a, size_t head) {
    size_t rows = a->rows, size = a->head_size, group = a->is_bfloat16 ? 2 : 1;
    size_t element = a->is_bfloat16 ? 2 : 4;
    attention_parts parts = parts_of(a);
    const char *query = (const char *)a->query + head * size * element;
    pack_keys(a, head, parts.keys);
    pack_values(a, head, parts.values);
    size_t padded = whole_panels(rows), key_panel = size * element * PRELOOP_GEMM_COLUMNS;
    size_t value_depth = (rows + group - 1) / group;
    size_t value_panel = value_depth * 4 * PRELOOP_GEMM_COLUMNS;
    for (size_t row = 0; row < rows; row += PRELOOP_GEMM_ROWS) {
        const char *left = query + row * a->stride * element;
        for (size_t k = 0; k < padded; k += PRELOOP_GEMM_COLUMNS) {
            const char *panel = parts.keys + k / PRELOOP_GEMM_COLUMNS * key_panel;
            if (a->is_bfloat16)
                TILE_BFLOAT16(
                    (const uint16_t *)left, a->stride, (const uint16_t *)panel, size / 2,
                    parts.scores + k, padded);
            else
                FN(tile_float32)(
                    (const float *)left, a->stride, (const float *)panel, size, parts.scores + k,
                    padded);
        }
        size_t count = rows - row < PRELOOP_GEMM_ROWS ? rows - row : PRELOOP_GEMM_ROWS;
        float factors[PRELOOP_GEMM_ROWS];
        for (size_t r = 0; r < count; r++) {
            float *scores = parts.scores + r * padded;
            factors[r] = 1 / FN(soften)(scores, rows, padded);
            if (a->is_bfloat16)
                for (size_t k = 0; k < padded; k += 16)
                    STORE16(parts.shares + r * padded + k, FN(to_bfloat16)(LOAD(scores + k)));
        }
        for (size_t c = 0; c < size; c += PRELOOP_GEMM_COLUMNS) {
            const char *panel = parts.values + c / PRELOOP_GEMM_COLUMNS * value_panel;
            float sums[PRELOOP_GEMM_ROWS * PRELOOP_GEMM_COLUMNS];
            if (a->is_bfloat16)
                TILE_BFLOAT16(
                    parts.shares, padded, (const uint16_t *)panel, value_depth, sums,
                    PRELOOP_GEMM_COLUMNS);
            else
                FN(tile_float32)(
                    parts.scores, padded, (const float *)panel, rows, sums, PRELOOP_GEMM_COLUMNS);
            size_t width = size - c < PRELOOP_GEMM_COLUMNS ? size - c : PRELOOP_GEMM_COLUMNS;
            size_t place = row * a->context_stride + head * size + c;
            for (size_t r = 0; r < count; r++, place += a->context_stride)
                for (size_t i = 0; i < width; i++) {
                    float value = sums[r * PRELOOP_GEMM_COLUMNS + i] * factors[r];
                    if (a->context_is_bfloat16)
                        ((uint16_t *)a->context)[place + i] = bfloat16_of(value);
                    else
                        ((float *)a->context)[place + i] = value;
                }
        }
    }
}

static void FN(attention)(const preloop_attention *a) {
    for (size_t head = 0; head < a->heads; head++) FN(attend)(a, head);
    clear_padding(a);
}

static const gemm_kernels FN(kernels) = {
    .gemm = FN(gemm),
    .pack = FN(pack),
    .column_squares = FN(column_squares),
    .moments = FN(moments),
    .quantize = FN(quantize),
    .round_rows = FN(round_rows),
    .normalize = FN(normalize),
    .normalize_quantize = FN(normalize_quantize),
    .normalize_round = FN(normalize_round),
    .attention = FN(attention),
};

#undef FN
#undef JOIN
#undef JOIN_
#undef FINISH
#undef FINISH_CASE
