// The softmax of one query's scaled and masked scores, and its gradient, over the keys that the query sees.
#pragma once

#include "vectors.h"

namespace {

// A mask adds 0 to the scores of visible keys and a number below this (−1e9) to those of hidden ones.
constexpr float kHidden = -1e8f;

struct Span {
  int64_t begin, end;
};

// The keys from the first to the last that a query sees. If it sees none, all: softmax then weights all keys equally.
Span SeenBy(const float* mask, int64_t keys) {
  Span seen{0, keys};
  while (seen.begin < seen.end && mask[seen.begin] < kHidden) seen.begin++;
  while (seen.begin < seen.end && mask[seen.end - 1] < kHidden) seen.end--;
  return seen.begin < seen.end ? seen : Span{0, keys};
}

// weights = softmax(scale·scores + mask) over n keys; `row` is a buffer of n numbers.
template <typename T>
VARIANTS void Softmax(int64_t n, float scale, const T* scores, const float* __restrict mask, float* __restrict row,
                      T* weights) {
  for (int64_t i = 0; i < n; i++) row[i] = scale * Load(scores + i) + mask[i];
  const float inverse = 1.0f / ExponentialsFrom(Largest(n, row), n, row);
  for (int64_t i = 0; i < n; i++) Store(weights + i, row[i] * inverse);
}

// dScores = scale · weights∘(dWeights − Σ weights∘dWeights) over n keys.
template <typename T>
VARIANTS void SoftmaxGrad(int64_t n, float scale, const T* weights, const T* dWeights, T* dScores) {
  const int64_t whole = n - n % kLanes;
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] += Load(weights + i + lane) * Load(dWeights + i + lane);
  for (int64_t i = whole; i < n; i++) lanes[0] += Load(weights + i) * Load(dWeights + i);
  const float sum = SumOfLanes(lanes);
  IN_PLACE
  for (int64_t i = 0; i < n; i++) Store(dScores + i, scale * Load(weights + i) * (Load(dWeights + i) - sum));
}

// Sets the entries of a row that belong to hidden keys to 0.
template <typename T>
void SetHiddenTo0(T* row, Span seen, int64_t keys) {
  std::memset(static_cast<void*>(row), 0, seen.begin * sizeof(T));
  std::memset(static_cast<void*>(row + seen.end), 0, (keys - seen.end) * sizeof(T));
}

}  // namespace
