#pragma once
// The CBLAS interface as every implementation offers it (reference BLAS, OpenBLAS, BLIS, MKL).
#include <cblas.h>
