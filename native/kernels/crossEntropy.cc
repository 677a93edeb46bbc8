// Weighted cross-entropy of the logits, soft-capped or as they are, and its gradient by them, which is written into
// their memory.
//
// N rows · V vocabulary size
#include <vector>

#include "../operation.h"
#include "../parallel.h"

namespace {

// Replaces each logit by softCap · tanh(logit / softCap), whose derivative is in `slopes`.
INLINE void Cap(int64_t V, float softCap, float* __restrict logits, float* __restrict slopes) {
  const float inverse = 1.0f / softCap;
  for (int64_t i = 0; i < V; i++) {
    const float tanh = HyperbolicTangent(logits[i] * inverse);
    logits[i] = softCap * tanh;
    slopes[i] = 1.0f - tanh * tanh;
  }
}

// weight·(−ln softmax(logits)[target]) of one row, and its gradient; `row` and `slopes` are buffers of V numbers.
template <typename T>
INLINE float CrossEntropyRow(int64_t V, const T* logits, int32_t target, float weight, float softCap,
                             float* __restrict row, float* __restrict slopes, T* dLogits) {
  for (int64_t i = 0; i < V; i++) row[i] = Load(logits + i);
  if (softCap > 0) Cap(V, softCap, row, slopes);
  const float targetLogit = row[target], largest = Largest(V, row);
  const float sum = ExponentialsFrom(largest, V, row), share = weight / sum;
  const float atTarget = row[target] * share - weight;
  if (softCap > 0) {
    for (int64_t i = 0; i < V; i++) Store(dLogits + i, row[i] * share * slopes[i]);
    Store(dLogits + target, atTarget * slopes[target]);
  } else {
    for (int64_t i = 0; i < V; i++) Store(dLogits + i, row[i] * share);
    Store(dLogits + target, atTarget);
  }
  return weight * (std::log(sum) + largest - targetLogit);
}

template <typename T>
VARIANTS void CrossEntropy(int64_t N, int64_t V, const T* logits, const int32_t* targets, const float* weights,
                           float softCap, float* row, float* slopes, float* losses, T* dLogits) {
  for (int64_t n = 0; n < N; n++)
    losses[n] =
        CrossEntropyRow(V, logits + n * V, targets[n], weights[n], softCap, row, slopes, dLogits + n * V);
}

struct CrossEntropyAttributes {
  float softCap = 0;  // 0: none
  explicit CrossEntropyAttributes(Construction& construction) { construction.read("soft_cap", &softCap); }
};

template <typename T>
void ComputeCrossEntropy(Execution& run, const CrossEntropyAttributes& attributes) {
  run.expectRank(0, 2);
  if (!run.ok()) return;
  const int64_t N = run.dimension(0, 0), V = run.dimension(0, 1);
  for (int i = 1; i <= 2; i++) run.expectSize(i, N);
  float* losses = run.outputLike(0, 0, 1);
  T* dLogits = run.outputOver<T>(1, 0);
  if (!run.ok()) return;
  const int32_t* targets = run.input<int32_t>(1);
  for (int64_t n = 0; n < N; n++)
    if (targets[n] < 0 || targets[n] >= V)
      return run.fail("target " + std::to_string(targets[n]) + " is outside the vocabulary of " + std::to_string(V));
  const T* logits = run.input<T>(0);
  const float* weights = run.input(2);
  const float softCap = attributes.softCap;
  ShareRows(N, V, [&](int64_t first, int64_t last) {
    std::vector<float> row(V), slopes(softCap > 0 ? V : 0);
    CrossEntropy(last - first, V, logits + first * V, targets + first, weights + first, softCap, row.data(),
                 slopes.data(), losses + first, dLogits + first * V);
  });
}

// (N, V), (N), (N) → (N), (N, V)
void CrossEntropyShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}});
  ShapeAlong(context, status, 1, {{0, 0}, {0, 1}});
}

const Registration crossEntropy =
    Operation("ClmCrossEntropy", {"logits: T", "targets: int32", "weights: float"}, {"losses: float", "d_logits: T"})
        .attribute("soft_cap: float")
        .shapes(CrossEntropyShapes)
        .kernels<ComputeCrossEntropy<float>, ComputeCrossEntropy<Bfloat16>>();

}  // namespace
