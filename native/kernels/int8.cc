// Products with 8-bit weights and rows of such matrices (decoding/int8.h). A token of a sample is bound by reading the
// weights, of which there are a quarter of the bytes. A row gives the same bits alone and in a batch, and for any
// number of threads.
//
// M rows · K inputs · N outputs; a packed matrix is a tensor (N, ⌈K/32⌉ · 34); the bias is empty or of N numbers
#include "../decoding/int8.h"

#include "../operation.h"
#include "../parallel.h"

namespace {

// The number of blocks in a row of the packed matrix, input i.
int64_t BlocksOf(Execution& run, int i) {
  run.expectRank(i, 2);
  if (run.ok() && run.dimension(i, 1) % kBlockBytes != 0) run.fail(run.shapeText(i) + " is not a packed matrix");
  return run.ok() ? run.dimension(i, 1) / kBlockBytes : 0;
}

void ComputeProduct(Execution& run) {
  run.expectRank(0, 2);
  const int64_t B = BlocksOf(run, 1);
  if (!run.ok()) return;
  const int64_t M = run.dimension(0, 0), K = run.dimension(0, 1), N = run.dimension(1, 0);
  if (BlockCount(K) != B) run.fail("the weights, " + run.shapeText(1) + ", do not fit the rows, " + run.shapeText(0));
  if (run.size(2) > 0) run.expectSize(2, N);
  float* y = run.output(0, {M, N});
  if (!run.ok()) return;
  const Int8Rows x(M, K, run.input(0));
  const uint8_t* w = run.input<uint8_t>(1);
  const float* bias = run.size(2) > 0 ? run.input(2) : nullptr;
  const int64_t share = Int8Part(M, K, N);
  InParallel((N + share - 1) / share, [&](int64_t part) {
    const int64_t first = part * share;
    MultiplyInt8(x, N, w, bias, first, first + share < N ? first + share : N, y);
  });
}

// (M, K) and packed (N, …) → (M, N)
void ProductShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {1, 0}});
}

void ComputeRows(Execution& run) {
  const int64_t B = BlocksOf(run, 0);
  const int64_t count = run.size(1), K = run.size(2);
  if (run.ok() && BlockCount(K) != B) run.fail(run.shapeText(0) + " does not have rows of " + run.shapeText(2));
  float* y = run.output(0, {count, K});
  if (!run.ok()) return;
  const int64_t N = run.dimension(0, 0);
  const int32_t* ids = run.input<int32_t>(1);
  std::vector<float> row(B * kBlock);
  for (int64_t i = 0; i < count; i++) {
    if (ids[i] < 0 || ids[i] >= N)
      return run.fail("row " + std::to_string(ids[i]) + " is outside the matrix, " + run.shapeText(0));
    UnpackInt8(B, N, ids[i], run.input<uint8_t>(0), row.data());
    std::memcpy(y + i * K, row.data(), K * sizeof(float));
  }
}

// packed (N, …), (ids) and (K) → (ids, K)
void RowsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{1, 0}, {2, 0}});
}

const Registration product = Operation("ClmInt8Product", {"x: float", "w: uint8", "bias: float"}, {"y: float"})
                                 .shapes(ProductShape)
                                 .kernel<ComputeProduct>();
// `like` has the length of a row; its values are not read.
const Registration rows = Operation("ClmInt8Rows", {"w: uint8", "ids: int32", "like: float"}, {"y: float"})
                              .shapes(RowsShape)
                              .kernel<ComputeRows>();

}  // namespace
