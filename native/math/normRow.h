// LayerNorm and RMSNorm of a row.
#pragma once

#include "vectors.h"

// One row of LayerNorm (centred), or of RMSNorm, which takes the mean to be 0.
template <typename T>
INLINE void NormRow(int64_t width, bool centred, float epsilon, const float* __restrict x, const float* __restrict gain,
                    T* __restrict y, float* mean, float* inverse) {
  const int64_t whole = width - width % kLanes;
  const float m = centred ? Sum(width, x) / static_cast<float>(width) : 0.0f;
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] += (x[i + lane] - m) * (x[i + lane] - m);
  for (int64_t i = whole; i < width; i++) lanes[0] += (x[i] - m) * (x[i] - m);
  const float r = 1.0f / std::sqrt(SumOfLanes(lanes) / static_cast<float>(width) + epsilon);
  for (int64_t i = 0; i < width; i++) Store(y + i, (x[i] - m) * r * gain[i]);
  *mean = m;
  *inverse = r;
}
