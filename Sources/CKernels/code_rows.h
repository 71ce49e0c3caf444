#pragma once
#include <stddef.h>
#include <stdint.h>

/// Four rows of the two planes of high bytes.
typedef struct {
    const uint8_t *coarse[4], *middle[4];
} four_rows;
