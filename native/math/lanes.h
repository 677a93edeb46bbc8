// Sixteen numbers side by side, as one vector of the widest registers or several of narrower ones.
#pragma once

#include "vectors.h"

// Lanes never pass a call, everything here is inlined: how they would be passed does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

typedef float Lanes __attribute__((vector_size(4 * kLanes)));

INLINE Lanes LoadLanes(const float* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof lanes);
  return lanes;
}
INLINE Lanes LoadLanes(const Bfloat16* x) {
  typedef uint16_t Halves __attribute__((vector_size(2 * kLanes)));
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  Halves halves;
  std::memcpy(&halves, x, sizeof halves);
  return reinterpret_cast<Lanes>(__builtin_convertvector(halves, Words) << 16);
}
INLINE void StoreLanes(float* y, Lanes lanes) { std::memcpy(y, &lanes, sizeof lanes); }

INLINE float SumOf(Lanes lanes) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; lane++) sum += lanes[lane];
  return sum;
}
