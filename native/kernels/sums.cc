// Sums over outputs of matrix products without a float32 copy of them: x + y, where x is float32 or an output too, the
// sums of the columns, and ½ Σ x².
#include <vector>

#include "../operation.h"
#include "../parallel.h"

namespace {

template <typename X, typename Y>
VARIANTS void Add(int64_t n, const X* x, const Y* y, float* sum) {
  IN_PLACE
  for (int64_t i = 0; i < n; i++) sum[i] = Load(x + i) + Load(y + i);
}

// Blocks are summed up in float32 and their sums in double, so that long sums keep their precision.
constexpr int64_t kBlock = 4096;

template <typename T>
VARIANTS double Squares(int64_t n, const T* __restrict x) {
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = begin + kBlock < n ? begin + kBlock : n, whole = end - (end - begin) % kLanes;
    float lanes[kLanes] = {};
    for (int64_t i = begin; i < whole; i += kLanes)
      for (int lane = 0; lane < kLanes; lane++) lanes[lane] += Load(x + i + lane) * Load(x + i + lane);
    for (int64_t i = whole; i < end; i++) lanes[0] += Load(x + i) * Load(x + i);
    sum += SumOfLanes(lanes);
  }
  return sum;
}

template <typename X, typename Y>
void ComputeAdd(Execution& run) {
  run.expectSize(1, run.size(0));
  float* sum = std::is_same_v<X, float> ? run.outputOver<float>(0, 0) : run.outputLike(0, 0);
  if (!run.ok()) return;
  const X* x = run.input<X>(0);
  const Y* y = run.input<Y>(1);
  ShareRows(run.size(0), 1, [&](int64_t first, int64_t last) { Add(last - first, x + first, y + first, sum + first); });
}

template <typename T>
VARIANTS void AddUpRows(int64_t rows, int64_t width, const T* __restrict x, float* __restrict sums) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t i = 0; i < width; i++) sums[i] += Load(x + row * width + i);
}

// The sums of the columns. Each block of rows has its own, and these are added up in order: the number of threads does
// not change a bit, as it does with BiasAddGrad.
template <typename T>
void ComputeColumnSums(Execution& run) {
  run.expectRank(0, 2);
  if (!run.ok()) return;
  const int64_t rows = run.dimension(0, 0), width = run.dimension(0, 1);
  float* total = run.output(0, {width});
  if (!run.ok()) return;
  constexpr int64_t kRows = 64;
  const int64_t blocks = (rows + kRows - 1) / kRows;
  std::vector<float> sums(blocks * width);
  const T* x = run.input<T>(0);
  ShareRows(blocks, kRows * width, [&](int64_t firstBlock, int64_t lastBlock) {
    for (int64_t block = firstBlock; block < lastBlock; block++) {
      const int64_t first = block * kRows, last = first + kRows < rows ? first + kRows : rows;
      AddUpRows(last - first, width, x + first * width, sums.data() + block * width);
    }
  });
  std::memset(total, 0, width * sizeof(float));
  AddUpRows(blocks, width, sums.data(), total);
}

template <typename T>
void ComputeHalfSquaredNorm(Execution& run) {
  float* norm = run.output(0, {});
  if (run.ok()) *norm = static_cast<float>(Squares(run.size(0), run.input<T>(0)) / 2);
}

void ScalarShape(TF_ShapeInferenceContext* context, TF_Status* status) { ShapeAlong(context, status, 0, {}); }

const Registration add = Operation("ClmAdd", {"x: float", "y: T"}, {"sum: float"})
                             .shapes(ShapesOfFirst<1>)
                             .kernels<ComputeAdd<float, float>, ComputeAdd<float, Bfloat16>>();
const Registration sum = Operation("ClmSum", {"x: T", "y: T"}, {"sum: float"})
                             .shapes(ShapesOfFirst<1>)
                             .kernels<ComputeAdd<float, float>, ComputeAdd<Bfloat16, Bfloat16>>();
// (N, C) → (C)
void ColumnsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 1}});
}

const Registration columnSums = Operation("ClmColumnSums", {"x: T"}, {"sums: float"})
                                    .shapes(ColumnsShape)
                                    .kernels<ComputeColumnSums<float>, ComputeColumnSums<Bfloat16>>();
const Registration halfSquaredNorm = Operation("ClmHalfSquaredNorm", {"x: T"}, {"norm: float"})
                                         .shapes(ScalarShape)
                                         .kernels<ComputeHalfSquaredNorm<float>, ComputeHalfSquaredNorm<Bfloat16>>();

}  // namespace
