// Vectors of a head, D numbers each, read from where their projection left them and written back: as float32, turned by
// the angles of their positions (RoPE).
#pragma once

#include "vectors.h"

namespace {

// to (rows, strideTo) = factor · the vectors of these rows, turned by the angles of `cosines` and `sines` (rows, D)
// unless they are null.
template <typename T>
VARIANTS void ReadRows(int64_t rows, int64_t D, const T* from, int64_t stride, const float* cosines, const float* sines,
                       float factor, float* __restrict to, int64_t strideTo) {
  const int64_t half = D / 2;
  for (int64_t row = 0; row < rows; row++, from += stride, to += strideTo) {
    if (cosines == nullptr) {
      for (int64_t d = 0; d < D; d++) to[d] = factor * Load(from + d);
      continue;
    }
    const float *c = cosines + row * D, *s = sines + row * D;
    for (int64_t d = 0; d < half; d++) to[d] = factor * (Load(from + d) * c[d] + Load(from + d + half) * s[d]);
    for (int64_t d = half; d < D; d++) to[d] = factor * (Load(from + d) * c[d] + Load(from + d - half) * s[d]);
  }
}

// The gradient by vectors before they were turned: turned by the angle with the other sign.
template <typename T>
VARIANTS void WriteRows(int64_t rows, int64_t D, const float* __restrict from, int64_t strideFrom, const float* cosines,
                        const float* sines, T* __restrict to, int64_t stride) {
  const int64_t half = D / 2;
  for (int64_t row = 0; row < rows; row++, from += strideFrom, to += stride) {
    if (cosines == nullptr) {
      for (int64_t d = 0; d < D; d++) Store(to + d, from[d]);
      continue;
    }
    const float *c = cosines + row * D, *s = sines + row * D;
    for (int64_t d = 0; d < half; d++) Store(to + d, from[d] * c[d] - from[d + half] * s[d]);
    for (int64_t d = half; d < D; d++) Store(to + d, from[d] * c[d] - from[d - half] * s[d]);
  }
}

// deltas = Σ dOutput∘output of each row.
template <typename T>
VARIANTS void Deltas(int64_t rows, int64_t D, const T* outputs, const T* dOutputs, int64_t stride, float* deltas) {
  const int64_t whole = D - D % kLanes;
  for (int64_t row = 0; row < rows; row++, outputs += stride, dOutputs += stride) {
    float lanes[kLanes] = {};
    for (int64_t d = 0; d < whole; d += kLanes)
      for (int lane = 0; lane < kLanes; lane++) lanes[lane] += Load(outputs + d + lane) * Load(dOutputs + d + lane);
    for (int64_t d = whole; d < D; d++) lanes[0] += Load(outputs + d) * Load(dOutputs + d);
    deltas[row] = SumOfLanes(lanes);
  }
}

}  // namespace
