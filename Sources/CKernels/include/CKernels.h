#pragma once
#include "ckernels_code.h"
#include "ckernels_gemm.h"
#include "ckernels_level.h"
#include "ckernels_nn.h"
