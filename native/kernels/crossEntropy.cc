// Cross-entropy against targets, weighted, with its gradient by the logits, which takes the logits' memory.
//
// N rows · V vocabulary size
#include <vector>

#include "../kernel.h"
#include "../parallel.h"

namespace {

// weight·(−ln softmax(logits)[target]) of one row, and its gradient; `row` holds V numbers.
template <typename T>
INLINE float CrossEntropyRow(int64_t V, const T* logits, int32_t target, float weight, float* __restrict row,
                             T* dLogits) {
  for (int64_t i = 0; i < V; i++) row[i] = Load(logits + i);
  const float targetLogit = row[target], largest = Largest(V, row);
  const float sum = ExponentialsFrom(largest, V, row), share = weight / sum;
  const float atTarget = row[target] * share - weight;
  for (int64_t i = 0; i < V; i++) Store(dLogits + i, row[i] * share);
  Store(dLogits + target, atTarget);
  return weight * (std::log(sum) + largest - targetLogit);
}

VARIANTS void CrossEntropy(int64_t N, int64_t V, const float* logits, const int32_t* targets, const float* weights,
                           float* row, float* losses, float* dLogits) {
  for (int64_t n = 0; n < N; n++)
    losses[n] = CrossEntropyRow(V, logits + n * V, targets[n], weights[n], row, dLogits + n * V);
}
VARIANTS void CrossEntropy(int64_t N, int64_t V, const Bfloat16* logits, const int32_t* targets, const float* weights,
                           float* row, float* losses, Bfloat16* dLogits) {
  for (int64_t n = 0; n < N; n++)
    losses[n] = CrossEntropyRow(V, logits + n * V, targets[n], weights[n], row, dLogits + n * V);
}

template <typename T>
void CrossEntropyOf(Execution& run) {
  const int64_t N = run.dimension(0, 0), V = run.dimension(0, 1);
  for (int i = 1; i <= 2; i++) run.expectSize(i, N);
  float* losses = run.output(0, 0, 1);
  T* dLogits = run.outputOver<T>(1, 0);
  if (!run.ok()) return;
  const int32_t* targets = run.input<int32_t>(1);
  for (int64_t n = 0; n < N; n++)
    if (targets[n] < 0 || targets[n] >= V) return run.fail("clm: a target that is no token of the vocabulary");
  const T* logits = run.input<T>(0);
  const float* weights = run.input(2);
  ShareRows(N, V, [&](int64_t first, int64_t last) {
    std::vector<float> row(V);
    CrossEntropy(last - first, V, logits + first * V, targets + first, weights + first, row.data(), losses + first,
                 dLogits + first * V);
  });
}
void ComputeCrossEntropy(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (run.ok()) run.isHalf(0) ? CrossEntropyOf<Bfloat16>(run) : CrossEntropyOf<float>(run);
}

// (N, V), (N), (N) → (N), (N, V)
void CrossEntropyShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle* logits = TF_NewShapeHandle();
  TF_ShapeHandle* rows = TF_NewShapeHandle();
  TF_ShapeInferenceContextGetInput(context, 0, logits, status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextWithRank(context, logits, 2, logits, status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSubshape(context, logits, 0, 1, rows, status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, 0, rows, status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, 1, logits, status);
  TF_DeleteShapeHandle(logits);
  TF_DeleteShapeHandle(rows);
}

}  // namespace

void RegisterCrossEntropy(TF_Status* status) {
  Register({"ClmCrossEntropy",
            {"logits: T", "targets: int32", "weights: float"},
            {"losses: float", "d_logits: T"},
            {kProductType},
            CrossEntropyShapes,
            ComputeCrossEntropy},
           status);
}
