#pragma once
#include "ckernels_code.h"

/// The kernels of ckernels_code.h for one set of instructions.
typedef struct {
    float (*quantise)(const float *, size_t, size_t, int8_t *, int8_t *, int32_t *, int32_t *);
    void (*score)(const preloop_code_graph *, const preloop_code_query *, const uint32_t *, size_t,
                  float *);
    void (*estimate)(const preloop_code_graph *, const preloop_code_query *, const uint32_t *,
                     size_t, float *);
    void (*score_fully)(const preloop_code_graph *, const preloop_code_query *, const uint32_t *,
                        size_t, float *);
    void (*load)(const preloop_code_graph *, uint32_t, int8_t *, int8_t *, preloop_code_query *);
    void (*store)(const int8_t *, const int8_t *, size_t, uint8_t *, uint8_t *, uint8_t *);
    void (*walk_base)(const preloop_code_graph *, const preloop_code_query *,
                      const preloop_code_stop *, preloop_code_walk *);
    void (*refine)(const preloop_code_graph *, const preloop_code_query *, size_t,
                   preloop_code_walk *);
    int (*walk_filtered)(const preloop_code_graph *, const preloop_code_query *,
                         const preloop_code_filter *, const preloop_code_stop *, size_t,
                         preloop_code_walk *, preloop_code_walk *);
    void (*scan)(const preloop_code_graph *, const preloop_code_query *, const uint32_t *, size_t,
                 const preloop_code_stop *, preloop_code_walk *);
    size_t (*passing)(const preloop_code_filter *, const uint8_t *, uint32_t, uint32_t, uint32_t *);
    size_t (*diversify)(const preloop_code_graph *, const uint64_t *, size_t, size_t, float,
                        uint8_t *, int8_t *, uint32_t *);
    size_t (*victims)(const preloop_code_graph *, uint32_t, const uint32_t *, size_t, uint32_t,
                      float, float, int, int8_t *, uint32_t *);
    int (*have_common)(const void *, const void *, size_t, int, uint32_t);
    void (*unpack_rows)(const preloop_code_graph *, uint32_t, uint32_t, uint8_t *);
    size_t (*near_pairs)(const preloop_code_graph *, const uint8_t *, uint32_t, uint32_t, uint32_t,
                         size_t, float, int8_t *, uint32_t *, uint32_t *);
    size_t (*offer)(preloop_code_walk *, uint64_t);
    void (*settle)(const preloop_code_stop *, preloop_code_walk *);
} preloop_code_kernels;

extern const preloop_code_kernels preloop_code_portable;
#if defined(__x86_64__)
extern const preloop_code_kernels preloop_code_avx2, preloop_code_avx512, preloop_code_vnni;
#endif
