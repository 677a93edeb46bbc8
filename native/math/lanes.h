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
INLINE void StoreLanes(Bfloat16* y, Lanes lanes) {
  for (int lane = 0; lane < kLanes; lane++) Store(y + lane, lanes[lane]);
}

// Halves are added up until one number is left: four steps instead of sixteen that wait for each other.
INLINE float SumOf(Lanes lanes) {
  float halves[kLanes];
  StoreLanes(halves, lanes);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) halves[i] += halves[i + half];
  return halves[0];
}
