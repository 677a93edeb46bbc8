// A step of attention from projected rows to rows again: for the new token of each slot, heads are normalised and
// turned, the key and the value go into the slot's cache, in place, and the queries attend to what the cache holds.
//
// Composed of TensorFlow's operations, the same takes some 25 of them a layer, most of which hand a few kilobytes to
// TensorFlow's threads: these then spin on the core that the products need.
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

// What is done with the vector of a head; null for what is not.
struct Turn {
  const float *gain, *cosines, *signedSines;
  float epsilon;
};

INLINE float Dot(int64_t D, const float* a, const float* b) {
  const int64_t whole = D / kLanes * kLanes;
  Lanes sums = {};
  for (int64_t d = 0; d < whole; d += kLanes) sums += LoadLanes(a + d) * LoadLanes(b + d);
  float sum = SumOf(sums);
  for (int64_t d = whole; d < D; d++) sum += a[d] * b[d];
  return sum;
}

// y (D) = x, divided by its root mean square and multiplied by the gain; then pairs (d, d + D/2) are turned.
VARIANTS void Place(int64_t D, const Turn& turn, const float* x, float* __restrict normalised, float* __restrict y) {
  const float scale =
      turn.gain == nullptr ? 1.0f : 1.0f / std::sqrt(Dot(D, x, x) / static_cast<float>(D) + turn.epsilon);
  for (int64_t d = 0; d < D; d++) normalised[d] = turn.gain == nullptr ? x[d] : x[d] * scale * turn.gain[d];
  if (turn.cosines == nullptr) {
    for (int64_t d = 0; d < D; d++) y[d] = normalised[d];
    return;
  }
  const int64_t half = D / 2;
  for (int64_t d = 0; d < half; d++)
    y[d] = normalised[d] * turn.cosines[d] + normalised[half + d] * turn.signedSines[d];
  for (int64_t d = half; d < D; d++)
    y[d] = normalised[d] * turn.cosines[d] + normalised[d - half] * turn.signedSines[d];
}

// output (D) = softmax(query (D) · keysᵀ / √D) · values over n positions; `weights` is a buffer of n numbers.
VARIANTS void Attend(int64_t n, int64_t D, const float* query, const float* keys, const float* values,
                     float* __restrict weights, float* __restrict output) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(D));
  for (int64_t s = 0; s < n; s++) weights[s] = scale * Dot(D, query, keys + s * D);
  const float sum = ExponentialsFrom(Largest(n, weights), n, weights);
  for (int64_t d = 0; d < D; d++) output[d] = 0;
  for (int64_t s = 0; s < n; s++)
    for (int64_t d = 0; d < D; d++) output[d] += weights[s] * values[s * D + d];
  for (int64_t d = 0; d < D; d++) output[d] /= sum;
}

struct StepAttributes {
  int32_t heads = 1;  // K
  float epsilon = 0;
  explicit StepAttributes(Construction& construction) {
    construction.read("heads", &heads);
    construction.read("epsilon", &epsilon);
  }
};

void ComputeCachedAttention(Execution& run, const StepAttributes& attributes) {
  for (int i = 0; i < 3; i++) run.expectRank(i, 2);
  if (!run.ok()) return;
  const int64_t B = run.dimension(0, 0), K = attributes.heads, D = run.dimension(1, 1);
  const int64_t width = run.dimension(8, 1), G = width / (K * D), S = run.dimension(1, 0) / (B * K);
  run.expectSize(0, B * (G + 2) * K * D);
  for (int i = 1; i <= 2; i++) run.expectSize(i, B * K * S * D);
  run.expectSize(3, B);
  for (int i = 4; i <= 5; i++)
    if (run.size(i) > 0) run.expectSize(i, B * D);
  for (int i = 6; i <= 7; i++)
    if (run.size(i) > 0) run.expectSize(i, D);
  const float* rows = run.input(0);
  float *keys = run.variable(1), *values = run.variable(2);
  const int32_t* positions = run.input<int32_t>(3);
  float* output = run.output(0, {B, width});
  if (!run.ok()) return;
  for (int64_t b = 0; b < B; b++)
    if (positions[b] < 0 || positions[b] >= S)
      return run.fail("position " + std::to_string(positions[b]) + " is outside the cache of " + std::to_string(S));
  const auto present = [&](int i) { return run.size(i) > 0 ? run.input(i) : nullptr; };
  const float *cosines = present(4), *signedSines = present(5), *queryGain = present(6), *keyGain = present(7);
  const int64_t most = 1 + *std::max_element(positions, positions + B);
  // Each head of a slot is computed by one thread in one order, so its bits depend on nothing else.
  const auto attend = [&](int64_t part) {
    const int64_t b = part / K, k = part % K, n = 1 + positions[b];
    const float* row = rows + b * (G + 2) * K * D;
    const float* angles = cosines == nullptr ? nullptr : cosines + b * D;
    const float* sines = cosines == nullptr ? nullptr : signedSines + b * D;
    float *ownKeys = keys + part * S * D, *ownValues = values + part * S * D;
    std::vector<float> buffer(n + 2 * D);
    float *weights = buffer.data(), *query = weights + n, *normalised = query + D;
    Place(D, {keyGain, angles, sines, attributes.epsilon}, row + (G * K + k) * D, normalised, ownKeys + (n - 1) * D);
    std::copy_n(row + (G * K + K + k) * D, D, ownValues + (n - 1) * D);
    for (int64_t head = k * G; head < (k + 1) * G; head++) {
      Place(D, {queryGain, angles, sines, attributes.epsilon}, row + head * D, normalised, query);
      Attend(n, D, query, ownKeys, ownValues, weights, output + b * width + head * D);
    }
  };
  if (B * K * most * D >= kShared) return InParallel(B * K, attend);
  for (int64_t part = 0; part < B * K; part++) attend(part);
}

// (B, …) and `like` (…, K·G·D) → (B, K·G·D)
void RowsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {8, 1}});
}

// `keys` and `values` are the values of variables, which are updated; `like` is empty, but as wide as the output. What
// a model does not have (rotation, gains) is empty.
const Registration cachedAttention =
    Operation("ClmCachedAttention",
              {"rows: float", "keys: float", "values: float", "positions: int32", "cosines: float",
               "signed_sines: float", "query_gain: float", "key_gain: float", "like: float"},
              {"output: float"})
        .attribute("heads: int")
        .attribute("epsilon: float")
        .updates()
        .shapes(RowsShape)
        .kernel<ComputeCachedAttention>();

}  // namespace
