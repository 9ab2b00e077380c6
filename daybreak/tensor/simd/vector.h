// The vector of floats V and its mask M, of the instruction level that the including file is compiled for: by its name,
// *_avx2.cc or *_avx512.cc, else the plain one (cmake/room.cmake). A kernel is written once over V, in a header whose
// names are all in an anonymous namespace, and included by one file a level; which of those runs is chosen by
// base::cpu_level(). docs/howto/kernel.md goes through it.
#pragma once

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#include "daybreak/tensor/simd/avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "daybreak/tensor/simd/avx2.h"
#else
#include "daybreak/tensor/simd/scalar.h"
#endif
