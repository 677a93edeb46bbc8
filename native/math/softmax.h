// The softmax of one query's scores with its scale and mask, and its gradient, over the keys that the query sees.
#pragma once

#include "vectors.h"

namespace {

// What the mask adds where nothing is to be seen is below this.
constexpr float kHidden = -1e8f;

struct Span {
  int64_t begin, end;
};

// The keys from the first to the last that a query sees; all where it sees none, for the softmax is then over equals.
Span SeenBy(const float* mask, int64_t keys) {
  Span seen{0, keys};
  while (seen.begin < seen.end && mask[seen.begin] < kHidden) seen.begin++;
  while (seen.begin < seen.end && mask[seen.end - 1] < kHidden) seen.end--;
  return seen.begin < seen.end ? seen : Span{0, keys};
}

// softmax(scale·scores + mask) of n keys; `row` holds n numbers.
template <typename T>
INLINE void SoftmaxLoop(int64_t n, float scale, const T* scores, const float* __restrict mask, float* __restrict row,
                        T* weights) {
  for (int64_t i = 0; i < n; i++) row[i] = scale * Load(scores + i) + mask[i];
  const float inverse = 1.0f / ExponentialsFrom(Largest(n, row), n, row);
  for (int64_t i = 0; i < n; i++) Store(weights + i, row[i] * inverse);
}
VARIANTS void Softmax(int64_t n, float scale, const float* scores, const float* mask, float* row, float* weights) {
  SoftmaxLoop(n, scale, scores, mask, row, weights);
}
VARIANTS void Softmax(int64_t n, float scale, const Bfloat16* scores, const float* mask, float* row,
                      Bfloat16* weights) {
  SoftmaxLoop(n, scale, scores, mask, row, weights);
}

// scale · weights∘(dWeights − Σ weights∘dWeights) of n keys.
template <typename T>
INLINE void SoftmaxGradLoop(int64_t n, float scale, const T* weights, const T* dWeights, T* dScores) {
  const int64_t whole = n - n % kLanes;
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] += Load(weights + i + lane) * Load(dWeights + i + lane);
  for (int64_t i = whole; i < n; i++) lanes[0] += Load(weights + i) * Load(dWeights + i);
  const float sum = SumOfLanes(lanes);
  IN_PLACE
  for (int64_t i = 0; i < n; i++) Store(dScores + i, scale * Load(weights + i) * (Load(dWeights + i) - sum));
}
VARIANTS void SoftmaxGrad(int64_t n, float scale, const float* weights, const float* dWeights, float* dScores) {
  SoftmaxGradLoop(n, scale, weights, dWeights, dScores);
}
VARIANTS void SoftmaxGrad(int64_t n, float scale, const Bfloat16* weights, const Bfloat16* dWeights,
                          Bfloat16* dScores) {
  SoftmaxGradLoop(n, scale, weights, dWeights, dScores);
}

template <typename T>
void HideRest(T* row, Span seen, int64_t keys) {
  std::memset(static_cast<void*>(row), 0, seen.begin * sizeof(T));
  std::memset(static_cast<void*>(row + seen.end), 0, (keys - seen.end) * sizeof(T));
}

}  // namespace
