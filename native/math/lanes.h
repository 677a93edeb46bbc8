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

typedef float Quarter __attribute__((vector_size(kLanes)));

// Halves are added up until four numbers are left. In vectors of their own sizes, because compilers leave a loop over
// halves in memory.
INLINE Quarter QuarterOf(Lanes lanes) {
  typedef float Half __attribute__((vector_size(2 * kLanes)));
  Half halves[2];
  std::memcpy(halves, &lanes, sizeof lanes);
  const Half half = halves[0] + halves[1];
  Quarter quarters[2];
  std::memcpy(quarters, &half, sizeof half);
  return quarters[0] + quarters[1];
}

INLINE float SumOf(Lanes lanes) {
  const Quarter quarter = QuarterOf(lanes);
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

// The sums of four vectors, each as SumOf adds it up, in half the instructions.
INLINE Quarter SumsOf(const Lanes* four) {
#if defined(__clang__) || __GNUC__ >= 12
  const Quarter a = QuarterOf(four[0]), b = QuarterOf(four[1]), c = QuarterOf(four[2]), d = QuarterOf(four[3]);
  const Quarter ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quarter cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
#else
  return Quarter{SumOf(four[0]), SumOf(four[1]), SumOf(four[2]), SumOf(four[3])};
#endif
}
