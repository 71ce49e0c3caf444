// The kernels of ckernels_gemm.h, written once in vectors of sixteen floats and included by
// kernels_gemm.c once a level: the compiler makes one register of them with AVX-512, two with
// AVX2, four with SSE2 or NEON. The includer defines LEVEL (the suffix of names), TILE_ROWS and
// TILE_VECTORS (the register tile of float32), and the tiles of int8 and bfloat16.

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define FN(name) JOIN(name, LEVEL)

// MARK: Vectors

INLINE v16f FN(max)(v16f a, v16f b) { return a > b ? a : b; }
INLINE v16f FN(min)(v16f a, v16f b) { return a < b ? a : b; }

INLINE float FN(sum_of)(v16f v) {
    v8f a = v.lo + v.hi;
    v4f b = a.lo + a.hi;
    return (b.x + b.z) + (b.y + b.w);
}

INLINE float FN(max_of)(v16f v) {
    v8f a = v.lo > v.hi ? v.lo : v.hi;
    v4f b = a.lo > a.hi ? a.lo : a.hi;
    float x = b.x > b.z ? b.x : b.z, y = b.y > b.w ? b.y : b.w;
    return x > y ? x : y;
}

/// 2^x for x <= 126, relative error below 3e-7; saturates below -126.
INLINE v16f FN(exp2)(v16f x) {
    // In this order NaN stays NaN.
    x = FN(max)((v16f)(-126.0f), x);
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    v16f shifted = x + 12582912.0f;
    v16f r = x - (shifted - 12582912.0f);
    v16f p = r * 1.5403530e-4f + 1.3333558e-3f;
    p = p * r + 9.6181291e-3f;
    p = p * r + 5.5504109e-2f;
    p = p * r + 0.24022651f;
    p = p * r + 0.69314718f;
    p = p * r + 1.0f;
    return (v16f)((v16i)p + ((v16i)shifted << 23));
}

/// v Phi(v) by a rational function for erf: degree 5 over 5 in v^2 (kernels_nn.c).
INLINE v16f FN(gelu)(v16f v) {
    v16f x = FN(min)(FN(max)(v, (v16f)(-5.5f)), (v16f)5.5f);
    v16f u = x * x;
    v16f p = u * 4.55015010509419e-08f + 1.2703678500706784e-05f;
    p = p * u + 0.0003375978126575991f;
    p = p * u + 0.009354192188268308f;
    p = p * u + 0.06770024057891043f;
    p = p * u + 0.7978844695680698f;
    v16f q = u * 1.1975240852931388e-06f + 7.363843989181013e-05f;
    q = q * u + 0.0018842933417648022f;
    q = q * u + 0.02864440066869686f;
    q = q * u + 0.2515155891572621f;
    q = q * u + 1.0f;
    return 0.5f * v * (1.0f + x * p / q);
}

/// v Phi(v) with Phi(v) = 1/2 + v P(v^2), P of degree 7 fitted on |v| <= 4: within 4e-5 there,
/// and 4e-5 |v| beyond, which is below the resolution of 8 bits.
INLINE v16f FN(gelu_short)(v16f v) {
    v16f x = FN(min)(FN(max)(v, (v16f)(-4.0f)), (v16f)4.0f);
    v16f u = x * x;
    v16f p = u * -1.30128666e-09f + 1.04195564e-07f;
    p = p * u + -3.65712092e-06f;
    p = p * u + 7.48548925e-05f;
    p = p * u + -0.00100648932f;
    p = p * u + 0.00950539422f;
    p = p * u + -0.0658878356f;
    p = p * u + 0.39867339f;
    return v * (x * p + 0.5f);
}

/// v / (1 + exp(-2 z)), z = sqrt(2 / pi) (v + 0.044715 v^3), which is the tanh form of GELU.
INLINE v16f FN(gelu_tanh)(v16f v) {
    v16f z = -2.3022082f * (v + 0.044715f * v * v * v);
    return v / (1.0f + FN(exp2)(FN(min)(z, (v16f)126.0f)));
}

/// To the nearest, ties to even; NaN stays NaN.
INLINE v16u16 FN(to_bfloat16)(v16f v) {
#ifdef LEVEL_HAS_BFLOAT16
    return (v16u16)_mm512_cvtneps_pbh((__m512)v);
#else
    v16u bits = (v16u)v;
    v16u rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    rounded = v == v ? rounded : (v16u)0x7FC0;
    return __builtin_convertvector(rounded, v16u16);
#endif
}

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

typedef union {
    float floats[PRELOOP_GEMM_ROWS * PRELOOP_GEMM_COLUMNS];
    int32_t integers[PRELOOP_GEMM_ROWS * PRELOOP_GEMM_COLUMNS];
} FN(tile_sums) __attribute__((aligned(64)));

INLINE v16f FN(apply)(int epilogue, v16f v) {
    switch (epilogue) {
    case preloop_gemm_gelu: return FN(gelu)(v);
    case preloop_gemm_gelu_short: return FN(gelu_short)(v);
    case preloop_gemm_gelu_tanh: return FN(gelu_tanh)(v);
    case preloop_gemm_relu: return FN(max)(v, (v16f)0.0f);
    default: return v;
    }
}

/// Turns the sums of a tile whose first row and column are given into output. `format` and
/// `epilogue` are constants where this is called, so each case is a loop of its own.
INLINE void FN(finish_as)(
    const preloop_gemm *g, int format, int epilogue, const FN(tile_sums) *sums, size_t row,
    size_t rows, size_t column, void *output, size_t stride) {
    for (size_t v = 0; v < PRELOOP_GEMM_COLUMNS; v += 16) {
        size_t c = column + v;
        v16f bias = LOAD(g->bias + c), scale = bias, sum = bias, factors = bias;
        v16f first = bias, second = bias;
        if (format == preloop_gemm_int8) {
            scale = LOAD(g->weight_scale + c);
            sum = LOAD(g->weight_sum + c);
            first = LOAD(g->exact_weights + c);
            second = LOAD(g->exact_weights + whole_panels(g->outputs) + c);
        }
        if (epilogue >= preloop_gemm_gelu) factors = LOAD(g->factors + c);
        for (size_t r = 0; r < rows; r++) {
            size_t place = r * PRELOOP_GEMM_COLUMNS + v;
            v16f x;
            if (format == preloop_gemm_int8) {
                x = __builtin_convertvector(*(const v16i *)(sums->integers + place), v16f);
                const float *exact = g->row_exact + (row + r) * PRELOOP_GEMM_EXACT;
                x = x * (scale * g->row_scale[row + r]) + (sum * g->row_low[row + r] + bias);
                x = first * exact[0] + x;
                x = second * exact[1] + x;
            } else {
                x = *(const v16f *)(sums->floats + place) + bias;
            }
            if (epilogue == preloop_gemm_store_bfloat16) {
                STORE16((uint16_t *)output + r * stride + v, FN(to_bfloat16)(x));
                continue;
            }
            float *out = (float *)output + r * stride + v;
            if (epilogue == preloop_gemm_add) x += LOAD(out);
            if (epilogue >= preloop_gemm_gelu) x = FN(apply)(epilogue, x) * factors;
            STORE(out, x);
        }
    }
}

#define FINISH_CASE(format, epilogue) \
    case epilogue: FN(finish_as)(g, format, epilogue, sums, row, rows, column, out, stride); break
#define FINISH(format)                                     \
    switch (g->epilogue) {                                 \
        FINISH_CASE(format, preloop_gemm_store_bfloat16);  \
        FINISH_CASE(format, preloop_gemm_add);             \
        FINISH_CASE(format, preloop_gemm_gelu);            \
        FINISH_CASE(format, preloop_gemm_gelu_short);      \
        FINISH_CASE(format, preloop_gemm_gelu_tanh);       \
        FINISH_CASE(format, preloop_gemm_relu);            \
        default:                                           \
            FN(finish_as)(                                 \
                g, format, preloop_gemm_store, sums, row, rows, column, out, stride); \
    }

static void FN(finish_at)(
    const preloop_gemm *g, const FN(tile_sums) *sums, size_t row, size_t rows, size_t column,
    void *out, size_t stride) {
    if (g->format == preloop_gemm_int8) {
        FINISH(preloop_gemm_int8)
    } else {
        FINISH(preloop_gemm_float32)
    }
}

/// As finish_at; a panel that is wider than the output goes through a buffer.
static void FN(finish)(
    const preloop_gemm *g, const FN(tile_sums) *sums, size_t row, size_t rows, size_t column) {
    size_t size = g->epilogue == preloop_gemm_store_bfloat16 ? 2 : 4;
    size_t width = g->outputs - column;
    char *out = (char *)g->output + (row * g->output_stride + column) * size;
    if (width >= PRELOOP_GEMM_COLUMNS) {
        FN(finish_at)(g, sums, row, rows, column, out, g->output_stride);
        return;
    }
    float whole[PRELOOP_GEMM_ROWS * PRELOOP_GEMM_COLUMNS] = {0};
    size_t pitch = g->output_stride * size, whole_pitch = PRELOOP_GEMM_COLUMNS * size;
    char *bytes = (char *)whole;
    if (g->epilogue == preloop_gemm_add)
        for (size_t r = 0; r < rows; r++)
            memcpy(bytes + r * whole_pitch, out + r * pitch, width * size);
    FN(finish_at)(g, sums, row, rows, column, whole, PRELOOP_GEMM_COLUMNS);
    for (size_t r = 0; r < rows; r++)
        memcpy(out + r * pitch, bytes + r * whole_pitch, width * size);
}

static void FN(gemm)(const preloop_gemm *g) {
    size_t depth = steps_of(g->format, g->inputs);
    size_t panel_size = depth * 4 * PRELOOP_GEMM_COLUMNS;
    size_t element = element_size(g->format);
    // Rows and outputs of a stripe stay in the second cache while the weights pass by.
    enum { stripe = 8 * PRELOOP_GEMM_ROWS };
    for (size_t first = 0; first < g->rows; first += stripe) {
        size_t end = first + stripe < g->rows ? first + stripe : g->rows;
        for (size_t column = 0; column < g->outputs; column += PRELOOP_GEMM_COLUMNS) {
            const char *panel =
                (const char *)g->weights + column / PRELOOP_GEMM_COLUMNS * panel_size;
            for (size_t row = first; row < end; row += PRELOOP_GEMM_ROWS) {
                FN(tile_sums) sums;
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
                size_t rows = end - row < PRELOOP_GEMM_ROWS ? end - row : PRELOOP_GEMM_ROWS;
                FN(finish)(g, &sums, row, rows, column);
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
    size_t depth = steps_of(preloop_gemm_int8, p->inputs);
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
    size_t group = group_of(p->format), depth = steps_of(p->format, p->inputs);
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

static void FN(quantize)(
    float *x, size_t rows, size_t columns, const float *factors, const size_t *exact,
    const preloop_quantized *out) {
    for (size_t r = 0; r < rows; r++, x += columns) {
        float kept[PRELOOP_GEMM_EXACT];
        for (size_t i = 0; i < PRELOOP_GEMM_EXACT; i++) {
            kept[i] = x[exact[i]];
            out->exact[r * PRELOOP_GEMM_EXACT + i] =
                kept[i] * (factors ? factors[exact[i]] : 1);
            x[exact[i]] = 0;
        }
        FN(quantize_row)(
            x, columns, factors, out->codes + r * out->stride, out->stride, out->scale + r,
            out->low + r);
        // Backwards, should a column stand there twice.
        for (size_t i = PRELOOP_GEMM_EXACT; i-- > 0;) x[exact[i]] = kept[i];
    }
}

static void FN(round_rows)(
    const float *x, size_t rows, size_t columns, uint16_t *out, size_t out_stride) {
    size_t blocked = columns - columns % 16;
    for (size_t r = 0; r < rows; r++, x += columns, out += out_stride) {
        for (size_t c = 0; c < blocked; c += 16) STORE16(out + c, FN(to_bfloat16)(LOAD(x + c)));
        for (size_t c = blocked; c < columns; c++) out[c] = bfloat16_of(x[c]);
        memset(out + columns, 0, 2 * (out_stride - columns));
    }
}

static void FN(normalize)(
    float *x, size_t rows, size_t columns, const float *scale, const float *shift, float epsilon) {
    size_t blocked = columns - columns % 16;
    for (size_t r = 0; r < rows; r++, x += columns) {
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
        float factor = 1 / sqrtf(square / (float)columns + epsilon);
        for (size_t c = 0; c < blocked; c += 16)
            STORE(x + c, (LOAD(x + c) - mean) * factor * LOAD(scale + c) + LOAD(shift + c));
        for (size_t c = blocked; c < columns; c++)
            x[c] = (x[c] - mean) * factor * scale[c] + shift[c];
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
            float *out = a->context + row * a->context_stride + head * size + c;
            for (size_t r = 0; r < count; r++)
                for (size_t i = 0; i < width; i++)
                    out[r * a->context_stride + i] =
                        sums[r * PRELOOP_GEMM_COLUMNS + i] * factors[r];
        }
    }
}

static void FN(attention)(const preloop_attention *a) {
    for (size_t head = 0; head < a->heads; head++) FN(attend)(a, head);
}

static const gemm_kernels FN(kernels) = {
    FN(gemm),     FN(pack),       FN(column_squares), FN(moments),
    FN(quantize), FN(round_rows), FN(normalize),      FN(attention),
};

#undef FN
#undef JOIN
#undef JOIN_
#undef FINISH
#undef FINISH_CASE
