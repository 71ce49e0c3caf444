// What every level has: vectors of sixteen floats, of which the compiler makes one register with
// AVX-512, two with AVX2, four with SSE2 or NEON, and what follows a product. The includer defines
// LEVEL (the suffix of names) and FINISHED_ROW (called behind each row of an epilogue).

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

// MARK: Epilogues

INLINE v16f FN(apply)(int epilogue, v16f v) {
    switch (epilogue) {
    case preloop_gemm_gelu: return FN(gelu)(v);
    case preloop_gemm_gelu_short: return FN(gelu_short)(v);
    case preloop_gemm_gelu_tanh: return FN(gelu_tanh)(v);
    case preloop_gemm_relu: return FN(max)(v, (v16f)0.0f);
    default: return v;
    }
}

/// Turns the sums of a tile whose first row and column are given into output. `format`,
/// `epilogue` and `is_short` (a bfloat16 output) are constants where this is called, so each case
/// is a loop of its own.
INLINE void FN(finish_as)(
    const preloop_gemm *g, int format, int epilogue, int is_short, const tile_sums *sums,
    const tile_place *place, void *output, size_t stride) {
    for (size_t v = 0; v < PRELOOP_GEMM_COLUMNS; v += 16) {
        size_t c = place->column + v;
        v16f bias = LOAD(g->bias + c), scale = bias, sum = bias, factors = bias;
        v16f first = bias, second = bias;
        if (format == preloop_gemm_int8) {
            scale = LOAD(g->weight_scale + c);
            sum = LOAD(g->weight_sum + c);
            first = LOAD(g->exact_weights + c);
            second = LOAD(g->exact_weights + whole_panels(g->outputs) + c);
        }
        if (epilogue >= preloop_gemm_gelu) factors = LOAD(g->factors + c);
        for (size_t r = 0; r < place->rows; r++) {
            size_t at = r * PRELOOP_GEMM_COLUMNS + v;
            v16f x;
            if (format == preloop_gemm_int8) {
                size_t row = place->row + r;
                x = __builtin_convertvector(*(const v16i *)(sums->integers + at), v16f);
                const float *exact = g->row_exact + row * PRELOOP_GEMM_EXACT;
                x = x * (scale * g->row_scale[row]) + (sum * g->row_low[row] + bias);
                x = first * exact[0] + x;
                x = second * exact[1] + x;
            } else {
                x = *(const v16f *)(sums->floats + at) + bias;
            }
            float *out = (float *)output + r * stride + v;
            if (epilogue == preloop_gemm_add) x += LOAD(out);
            if (epilogue >= preloop_gemm_gelu) x = FN(apply)(epilogue, x) * factors;
            if (is_short)
                STORE16((uint16_t *)output + r * stride + v, FN(to_bfloat16)(x));
            else
                STORE(out, x);
            FINISHED_ROW(place);
        }
    }
}

#define FINISH_CASE(format, epilogue, is_short)                                                   \
    case 2 * epilogue + is_short:                                                                 \
        FN(finish_as)(g, format, epilogue, is_short, sums, place, out, stride);                   \
        break
#define FINISH(format)                                                                            \
    switch (2 * g->epilogue + (g->output_is_bfloat16 != 0)) {                                     \
        FINISH_CASE(format, preloop_gemm_add, 0);                                                 \
        FINISH_CASE(format, preloop_gemm_gelu, 0);                                                \
        FINISH_CASE(format, preloop_gemm_gelu, 1);                                                \
        FINISH_CASE(format, preloop_gemm_gelu_short, 0);                                          \
        FINISH_CASE(format, preloop_gemm_gelu_short, 1);                                          \
        FINISH_CASE(format, preloop_gemm_gelu_tanh, 0);                                           \
        FINISH_CASE(format, preloop_gemm_gelu_tanh, 1);                                           \
        FINISH_CASE(format, preloop_gemm_relu, 0);                                                \
        FINISH_CASE(format, preloop_gemm_relu, 1);                                                \
        FINISH_CASE(format, preloop_gemm_store, 1);                                               \
    default: FN(finish_as)(g, format, preloop_gemm_store, 0, sums, place, out, stride);           \
    }

static void FN(finish_at)(
    const preloop_gemm *g, const tile_sums *sums, const tile_place *place, void *out,
    size_t stride) {
    if (g->format == preloop_gemm_int8) {
        FINISH(preloop_gemm_int8)
    } else {
        FINISH(preloop_gemm_float32)
    }
}

/// As finish_at; a panel that is wider than the output goes through a buffer.
static void FN(finish)(const preloop_gemm *g, const tile_sums *sums, const tile_place *place) {
    size_t size = g->output_is_bfloat16 ? 2 : 4;
    size_t width = g->outputs - place->column;
    char *out = (char *)g->output + (place->row * g->output_stride + place->column) * size;
    if (width >= PRELOOP_GEMM_COLUMNS) {
        FN(finish_at)(g, sums, place, out, g->output_stride);
        return;
    }
    float whole[PRELOOP_GEMM_MOST_ROWS * PRELOOP_GEMM_COLUMNS] = {0};
    size_t pitch = g->output_stride * size, whole_pitch = PRELOOP_GEMM_COLUMNS * size;
    char *bytes = (char *)whole;
    if (g->epilogue == preloop_gemm_add)
        for (size_t r = 0; r < place->rows; r++)
            memcpy(bytes + r * whole_pitch, out + r * pitch, width * size);
    FN(finish_at)(g, sums, place, whole, PRELOOP_GEMM_COLUMNS);
    for (size_t r = 0; r < place->rows; r++) {
        memcpy(out + r * pitch, bytes + r * whole_pitch, width * size);
        if (g->output_is_bfloat16)
            memset(out + r * pitch + 2 * width, 0, 2 * (PRELOOP_GEMM_COLUMNS - width));
    }
}
