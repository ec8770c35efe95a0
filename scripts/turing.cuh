// For GPUs of compute capability 7.5, to be read by nvcc before each of dfdx 0.13's kernels:
//     NVCC_APPEND_FLAGS="-include /path/to/scripts/turing.cuh"
//
// dfdx brings functions of its own for half-precision maxima and minima below capability 8.0, under names that CUDA has
// used itself since 12.2. CUDA's header is read first, under its names; dfdx's functions then get others.
#ifndef CUTLINE_TURING_CUH
#define CUTLINE_TURING_CUH
#include <cuda_fp16.h>
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define __hmax_nan cutline_hmax_nan
#define __hmin_nan cutline_hmin_nan
#endif
#endif
