// A vector of 16 numbers: one of the widest registers, or several narrower ones.
#pragma once

#include "vectors.h"

// GCC warns that passing such vectors depends on the target; all functions here are inlined, so none is passed.
#pragma GCC diagnostic ignored "-Wpsabi"

typedef float Lanes __attribute__((vector_size(4 * kLanes)));

INLINE Lanes LoadLanes(const float* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof lanes);
  return lanes;
}
INLINE Lanes LoadLanes(const Bfloat16* x) {
  typedef uint16_t Bits __attribute__((vector_size(2 * kLanes)));
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  Bits bits;
  std::memcpy(&bits, x, sizeof bits);
  return reinterpret_cast<Lanes>(__builtin_convertvector(bits, Words) << 16);
}
INLINE void StoreLanes(float* y, Lanes lanes) { std::memcpy(y, &lanes, sizeof lanes); }

INLINE float SumOf(Lanes lanes) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; lane++) sum += lanes[lane];
  return sum;
}
