// Scatter-add: adds rows to the rows of a matrix that their ids name, in the matrix's memory. This is the gradient of
// an embedding lookup, added without a matrix of zeros to collect it in. Rows with the same id are added in their order
// and in float32, so the number of threads does not change a bit.
//
// V rows of the matrix · N rows to add · C width
#include <algorithm>
#include <numeric>
#include <vector>

#include "../operation.h"
#include "../parallel.h"

namespace {

// row += the `count` rows of `added` with the indices `which`; `sum` is a buffer of C numbers.
template <typename T>
VARIANTS void AddRows(int64_t C, int64_t count, const int32_t* which, const float* added, float* __restrict sum,
                      T* row) {
  for (int64_t i = 0; i < C; i++) sum[i] = Load(row + i);
  for (int64_t n = 0; n < count; n++) {
    const float* x = added + which[n] * C;
    for (int64_t i = 0; i < C; i++) sum[i] += x[i];
  }
  for (int64_t i = 0; i < C; i++) Store(row + i, sum[i]);
}

template <typename T>
void ComputeAddRows(Execution& run) {
  run.expectRank(0, 2);
  if (!run.ok()) return;
  const int64_t V = run.dimension(0, 0), C = run.dimension(0, 1), N = run.size(2);
  run.expectSize(1, N * C);
  if (!run.ok()) return;
  const float* added = run.input(1);
  const int32_t* ids = run.input<int32_t>(2);
  for (int64_t n = 0; n < N; n++)
    if (ids[n] < 0 || ids[n] >= V)
      return run.fail("id " + std::to_string(ids[n]) + " is outside the matrix: " + run.shapeText(0));
  T* sum = run.outputOver<T>(0, 0);
  if (!run.ok()) return;
  const T* matrix = run.input<T>(0);
  if (sum != matrix) std::memcpy(static_cast<void*>(sum), matrix, V * C * sizeof(T));
  // Rows sorted by id, and where each id begins among them.
  std::vector<int32_t> order(N), begins;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [ids](int32_t a, int32_t b) { return ids[a] < ids[b]; });
  for (int64_t n = 0; n < N; n++)
    if (n == 0 || ids[order[n]] != ids[order[n - 1]]) begins.push_back(n);
  begins.push_back(N);
  ShareRows(begins.size() - 1, C, [&](int64_t first, int64_t last) {
    std::vector<float> buffer(C);
    for (int64_t i = first; i < last; i++) {
      const int32_t* which = order.data() + begins[i];
      AddRows(C, begins[i + 1] - begins[i], which, added, buffer.data(), sum + ids[*which] * C);
    }
  });
}

const Registration addRows = Operation("ClmAddRows", {"matrix: T", "rows: float", "ids: int32"}, {"sum: T"})
                                 .shapes(ShapesOfFirst<1>)
                                 .kernels<ComputeAddRows<float>, ComputeAddRows<Bfloat16>>();

}  // namespace
