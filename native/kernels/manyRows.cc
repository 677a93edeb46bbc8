// Products of many rows with a matrix of bfloat16 weights that are not trained: of an adapter's base, and of prompts.
// Weights are packed as float32 panel by panel in the cache, so that no float32 copy of a matrix is ever in memory. A
// row gives the same bits whatever the other rows and the threads are.
//
// M rows · K inputs · N outputs; the bias is empty or of N numbers
#include "../math/panels.h"
#include "../operation.h"

namespace {

template <bool transposed>
void ComputeManyRows(Execution& run) {
  for (int i = 0; i < 2; i++) run.expectRank(i, 2);
  if (!run.ok()) return;
  const int64_t M = run.dimension(0, 0), K = run.dimension(0, 1), N = run.dimension(1, transposed ? 0 : 1);
  if (run.dimension(1, transposed ? 1 : 0) != K)
    run.fail("the weights, " + run.shapeText(1) + ", do not fit the rows, " + run.shapeText(0));
  const bool isBiased = !transposed && run.size(2) > 0;
  if (isBiased) run.expectSize(2, N);
  float* y = run.output(0, {M, N});
  if (!run.ok()) return;
  const float *x = run.input(0), *bias = isBiased ? run.input(2) : nullptr;
  MultiplyPanels<false, transposed>(1, M, K, N, x, run.input<Bfloat16>(1), bias, y);
}

// (M, K) and (K, N), or (N, K) if transposed → (M, N)
template <bool transposed>
void ManyRowsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {1, transposed ? 0 : 1}});
}

const Registration manyRows = Operation("ClmManyRows", {"x: float", "w: bfloat16", "bias: float"}, {"y: float"})
                                  .shapes(ManyRowsShape<false>)
                                  .kernel<ComputeManyRows<false>>({});
const Registration manyRowsTransposed = Operation("ClmManyRowsTransposed", {"x: float", "w: bfloat16"}, {"y: float"})
                                            .shapes(ManyRowsShape<true>)
                                            .kernel<ComputeManyRows<true>>({});

}  // namespace
