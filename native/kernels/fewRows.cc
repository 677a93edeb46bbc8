// Products of a few rows with a matrix of float32 or bfloat16 weights (decoding/fewRows.h).
//
// M rows · K inputs · N outputs; the bias is empty or of N numbers
#include "../decoding/fewRows.h"

#include <algorithm>

#include "../operation.h"
#include "../parallel.h"

namespace {

template <bool transposed, typename T>
void ComputeFewRows(Execution& run) {
  for (int i = 0; i < 2; i++) run.expectRank(i, 2);
  if (!run.ok()) return;
  const int64_t M = run.dimension(0, 0), K = run.dimension(0, 1), N = run.dimension(1, transposed ? 0 : 1);
  if (run.dimension(1, transposed ? 1 : 0) != K)
    run.fail("the weights, " + run.shapeText(1) + ", do not fit the rows, " + run.shapeText(0));
  const float* x = run.input(0);
  const T* w = run.input<T>(1);
  const bool isBiased = !transposed && run.size(2) > 0;
  if (isBiased) run.expectSize(2, N);
  const float* bias = isBiased ? run.input(2) : nullptr;
  float* y = run.output(0, {M, N});
  if (!run.ok()) return;
  if constexpr (transposed) {
    const int64_t length = RowsPart(M, K, N);
    InParallel((N + length - 1) / length, [&](int64_t part) {
      MultiplyRows(M, K, N, part * length, std::min(part * length + length, N), x, w, y);
    });
  } else {
    const ColumnsProduct<T> product{w, bias, y};
    MultiplyColumns(M, K, N, x, 1, &product, [](int64_t, int64_t) {});
  }
}

// (M, K) and (K, N), or (N, K) if transposed → (M, N)
template <bool transposed>
void FewRowsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {1, transposed ? 0 : 1}});
}

const Registration fewRows = Operation("ClmFewRows", {"x: float", "w: T", "bias: float"}, {"y: float"})
                                 .shapes(FewRowsShape<false>)
                                 .kernels<ComputeFewRows<false, float>, ComputeFewRows<false, Bfloat16>>();
const Registration fewRowsTransposed = Operation("ClmFewRowsTransposed", {"x: float", "w: T"}, {"y: float"})
                                           .shapes(FewRowsShape<true>)
                                           .kernels<ComputeFewRows<true, float>, ComputeFewRows<true, Bfloat16>>();

}  // namespace
