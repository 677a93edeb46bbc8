// Adds rows to those of a matrix that their ids name, in the matrix's memory: the gradient of looking rows up, without
// a matrix of zeros to gather it in. Rows of one id are added in their order and in float32: threads change no bit of
// it.
//
// V rows of the matrix · N rows to add · C width
#include <algorithm>
#include <numeric>
#include <vector>

#include "../kernel.h"
#include "../parallel.h"

namespace {

// row + the sum of the `count` rows of `added` named by `which`; `sum` holds C numbers.
template <typename T>
INLINE void AddRowsLoop(int64_t C, int64_t count, const int32_t* which, const float* added, float* __restrict sum,
                        T* row) {
  for (int64_t i = 0; i < C; i++) sum[i] = Load(row + i);
  for (int64_t n = 0; n < count; n++) {
    const float* x = added + which[n] * C;
    for (int64_t i = 0; i < C; i++) sum[i] += x[i];
  }
  for (int64_t i = 0; i < C; i++) Store(row + i, sum[i]);
}
VARIANTS void AddRows(int64_t C, int64_t count, const int32_t* which, const float* added, float* sum, float* row) {
  AddRowsLoop(C, count, which, added, sum, row);
}
VARIANTS void AddRows(int64_t C, int64_t count, const int32_t* which, const float* added, float* sum, Bfloat16* row) {
  AddRowsLoop(C, count, which, added, sum, row);
}

template <typename T>
void AddRowsOf(Execution& run) {
  const int64_t V = run.dimension(0, 0), C = run.dimension(0, 1), N = run.size(2);
  run.expectSize(1, N * C);
  if (!run.ok()) return;
  const float* added = run.input(1);
  const int32_t* ids = run.input<int32_t>(2);
  for (int64_t n = 0; n < N; n++)
    if (ids[n] < 0 || ids[n] >= V) return run.fail("clm: a row that the matrix does not have");
  T* sum = run.outputOver<T>(0, 0);
  if (!run.ok()) return;
  const T* matrix = run.input<T>(0);
  if (sum != matrix) std::memcpy(static_cast<void*>(sum), matrix, V * C * sizeof(T));
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
void ComputeAddRows(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (run.ok() && run.rank(0) != 2) run.fail("clm: rows are added to a matrix");
  if (run.ok()) run.isHalf(0) ? AddRowsOf<Bfloat16>(run) : AddRowsOf<float>(run);
}

}  // namespace

void RegisterAddRows(TF_Status* status) {
  Register({"ClmAddRows",
            {"matrix: T", "rows: float", "ids: int32"},
            {"sum: T"},
            {kProductType},
            ShapesOfFirst<1>,
            ComputeAddRows},
           status);
}
