// A step of attention from projected rows to rows again: for the new token of each slot, heads are normalised and
// turned, the key and the value go into the slot's cache, in place, and the queries attend to what the cache holds.
//
// Composed of TensorFlow's operations, the same takes some 25 of them a layer, most of which hand a few kilobytes to
// TensorFlow's threads: these then spin on the core that the products need.
//
// B slots · K key/value heads · G queries of each · S capacity of a slot in positions · D head size
#include <algorithm>

#include "../decoding/cachedHead.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

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
  std::vector<CachedHead> heads;
  for (int64_t part = 0; part < B * K; part++) {
    const int64_t b = part / K, k = part % K;
    const float* row = rows + b * (G + 2) * K * D;
    const Angles angles{cosines == nullptr ? nullptr : cosines + b * D,
                        cosines == nullptr ? nullptr : signedSines + b * D};
    heads.push_back({G, D, 1 + positions[b], row + k * G * D, row + (G * K + k) * D, row + (G * K + K + k) * D,
                     queryGain, keyGain, attributes.epsilon, angles, keys + part * S * D, values + part * S * D,
                     output + part * G * D});
  }
  AttendHeads(heads);
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
