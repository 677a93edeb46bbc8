// Attention of one new token of each slot to the filled positions of its key/value cache, read in place.
//
// B slots · K key/value heads · G queries of each · S capacity of a slot in positions · D head size
#include <algorithm>
#include <cmath>
#include <vector>

#include "../math/lanes.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

// The threads share the work if it reads at least this many numbers of keys (and as many of values).
constexpr int64_t kShared = 1 << 14;

INLINE float Dot(int64_t D, const float* a, const float* b) {
  const int64_t whole = D / kLanes * kLanes;
  Lanes sums = {};
  for (int64_t d = 0; d < whole; d += kLanes) sums += LoadLanes(a + d) * LoadLanes(b + d);
  float sum = SumOf(sums);
  for (int64_t d = whole; d < D; d++) sum += a[d] * b[d];
  return sum;
}

// output (D) = softmax(query (D) · keysᵀ / √D) · values over n positions; `weights` is a buffer of n numbers.
VARIANTS void Attend(int64_t n, int64_t D, const float* query, const float* keys, const float* values,
                     float* __restrict weights, float* __restrict output) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(D));
  float largest = -INFINITY;
  for (int64_t s = 0; s < n; s++) {
    weights[s] = scale * Dot(D, query, keys + s * D);
    largest = weights[s] > largest ? weights[s] : largest;
  }
  for (int64_t s = 0; s < n; s++) weights[s] = Exponential(weights[s] - largest);
  float sum = 0;
  for (int64_t s = 0; s < n; s++) sum += weights[s];
  for (int64_t d = 0; d < D; d++) output[d] = 0;
  for (int64_t s = 0; s < n; s++)
    for (int64_t d = 0; d < D; d++) output[d] += weights[s] * values[s * D + d];
  for (int64_t d = 0; d < D; d++) output[d] /= sum;
}

void ComputeCachedAttention(Execution& run) {
  run.expectRank(0, 4);
  if (!run.ok()) return;
  const int64_t B = run.dimension(0, 0), K = run.dimension(0, 1), G = run.dimension(0, 2), D = run.dimension(0, 3);
  const int64_t S = run.size(1) / std::max<int64_t>(1, B * K * D);
  for (int i = 1; i <= 2; i++) run.expectSize(i, B * K * S * D);
  run.expectSize(3, B);
  const float *query = run.input(0), *keys = run.input(1), *values = run.input(2);
  const int32_t* positions = run.input<int32_t>(3);
  float* output = run.outputLike(0, 0);
  if (!run.ok()) return;
  for (int64_t b = 0; b < B; b++)
    if (positions[b] < 0 || positions[b] >= S)
      return run.fail("position " + std::to_string(positions[b]) + " is outside the cache of " + std::to_string(S));
  const int64_t most = 1 + *std::max_element(positions, positions + B);
  const auto attend = [&](int64_t head) {
    const int64_t n = 1 + positions[head / K];
    std::vector<float> weights(n);
    for (int64_t row = head * G; row < (head + 1) * G; row++)
      Attend(n, D, query + row * D, keys + head * S * D, values + head * S * D, weights.data(), output + row * D);
  };
  if (B * K * most * D >= kShared) return InParallel(B * K, attend);
  for (int64_t head = 0; head < B * K; head++) attend(head);
}

const Registration cachedAttention =
    Operation("ClmCachedAttention", {"query: float", "keys: float", "values: float", "positions: int32"},
              {"output: float"})
        .shapes(ShapesOfFirst<1>)
        .kernel<ComputeCachedAttention>();

}  // namespace
