// See cachedHead.h.
#include "cachedHead.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "../math/lanes.h"

namespace {

// Positions whose scores are computed, or numbers of a head whose sums are kept, at the same time.
constexpr int kAtOnce = 4;

INLINE float Dot(int64_t D, const float* a, const float* b) {
  const int64_t whole = D / kLanes * kLanes;
  Lanes sums = {};
  for (int64_t d = 0; d < whole; d += kLanes) sums += LoadLanes(a + d) * LoadLanes(b + d);
  float sum = SumOf(sums);
  for (int64_t d = whole; d < D; d++) sum += a[d] * b[d];
  return sum;
}

// y (D) = x, divided by its root mean square and multiplied by the gain; then pairs (d, d + D/2) are turned.
VARIANTS void Place(int64_t D, const float* gain, float epsilon, const Angles& angles, const float* x,
                    float* __restrict normalised, float* __restrict y) {
  const float scale = gain == nullptr ? 1.0f : 1.0f / std::sqrt(Dot(D, x, x) / static_cast<float>(D) + epsilon);
  for (int64_t d = 0; d < D; d++) normalised[d] = gain == nullptr ? x[d] : x[d] * scale * gain[d];
  if (angles.cosines == nullptr) {
    for (int64_t d = 0; d < D; d++) y[d] = normalised[d];
    return;
  }
  const int64_t half = D / 2;
  const float *cosines = angles.cosines, *sines = angles.signedSines;
  for (int64_t d = 0; d < half; d++) y[d] = normalised[d] * cosines[d] + normalised[half + d] * sines[d];
  for (int64_t d = half; d < D; d++) y[d] = normalised[d] * cosines[d] + normalised[d - half] * sines[d];
}

// The sums over n positions of `count` vectors of numbers stay in registers.
template <int count>
INLINE void WeightedSum(int64_t n, int64_t D, const float* weights, const float* values, float inverse, float* output) {
  Lanes sums[count] = {};
  for (int64_t s = 0; s < n; s++)
#pragma GCC unroll 4
    for (int i = 0; i < count; i++) sums[i] += LoadLanes(values + s * D + i * kLanes) * weights[s];
#pragma GCC unroll 4
  for (int i = 0; i < count; i++) StoreLanes(output + i * kLanes, sums[i] * inverse);
}

// output (D) = softmax(query (D) · keysᵀ / √D) · values over n positions; `weights` is a buffer of n numbers.
VARIANTS void Attend(int64_t n, int64_t D, const float* query, const float* keys, const float* values,
                     float* __restrict weights, float* __restrict output) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(D));
  const int64_t whole = D / kLanes * kLanes;
  int64_t s = 0;
  for (; s + kAtOnce <= n; s += kAtOnce) {
    Lanes sums[kAtOnce] = {};
    for (int64_t d = 0; d < whole; d += kLanes)
#pragma GCC unroll 4
      for (int i = 0; i < kAtOnce; i++) sums[i] += LoadLanes(query + d) * LoadLanes(keys + (s + i) * D + d);
#pragma GCC unroll 4
    for (int i = 0; i < kAtOnce; i++) {
      float sum = SumOf(sums[i]);
      for (int64_t d = whole; d < D; d++) sum += query[d] * keys[(s + i) * D + d];
      weights[s + i] = scale * sum;
    }
  }
  for (; s < n; s++) weights[s] = scale * Dot(D, query, keys + s * D);
  const float inverse = 1.0f / ExponentialsFrom(Largest(n, weights), n, weights);
  int64_t d = 0;
  for (; d + kAtOnce * kLanes <= D; d += kAtOnce * kLanes)
    WeightedSum<kAtOnce>(n, D, weights, values + d, inverse, output + d);
  for (; d < whole; d += kLanes) WeightedSum<1>(n, D, weights, values + d, inverse, output + d);
  for (; d < D; d++) {
    float sum = 0;
    for (int64_t position = 0; position < n; position++) sum += weights[position] * values[position * D + d];
    output[d] = sum * inverse;
  }
}

}  // namespace

void AttendHead(const CachedHead& head) {
  const int64_t G = head.G, D = head.D, n = head.n;
  std::vector<float> buffer(n + 2 * D);
  float *weights = buffer.data(), *query = weights + n, *normalised = query + D;
  Place(D, head.keyGain, head.epsilon, head.angles, head.key, normalised, head.keys + (n - 1) * D);
  std::copy_n(head.value, D, head.values + (n - 1) * D);
  for (int64_t g = 0; g < G; g++) {
    Place(D, head.queryGain, head.epsilon, head.angles, head.queries + g * D, normalised, query);
    Attend(n, D, query, head.keys, head.values, weights, head.output + g * D);
  }
}
