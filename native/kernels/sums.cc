// Sums over what products give, without a float32 copy of it: x + y, where x is float32 or, as y, a product's; ½ Σ x².
#include "../kernel.h"
#include "../parallel.h"

namespace {

template <typename X, typename Y>
INLINE void AddLoop(int64_t n, const X* x, const Y* y, float* sum) {
  IN_PLACE
  for (int64_t i = 0; i < n; i++) sum[i] = Load(x + i) + Load(y + i);
}
VARIANTS void Add(int64_t n, const float* x, const float* y, float* sum) { AddLoop(n, x, y, sum); }
VARIANTS void Add(int64_t n, const float* x, const Bfloat16* y, float* sum) { AddLoop(n, x, y, sum); }
VARIANTS void Add(int64_t n, const Bfloat16* x, const Bfloat16* y, float* sum) { AddLoop(n, x, y, sum); }

// Sums of a block are float32, their sum is double: a long sum loses nothing.
constexpr int64_t kBlock = 4096;

template <typename T>
INLINE double SquaresLoop(int64_t n, const T* __restrict x) {
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
VARIANTS double Squares(int64_t n, const float* x) { return SquaresLoop(n, x); }
VARIANTS double Squares(int64_t n, const Bfloat16* x) { return SquaresLoop(n, x); }

void ComputeAdd(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (!run.ok()) return;
  run.expectSize(1, run.size(0));
  if (!run.ok()) return;
  float* sum = run.isHalf(0) ? run.output(0, 0) : run.outputOver(0, 0);
  if (!run.ok()) return;
  ShareRows(run.size(0), 1, [&](int64_t first, int64_t last) {
    const int64_t n = last - first;
    if (run.isHalf(0))
      Add(n, run.input<Bfloat16>(0) + first, run.input<Bfloat16>(1) + first, sum + first);
    else if (run.isHalf(1))
      Add(n, run.input(0) + first, run.input<Bfloat16>(1) + first, sum + first);
    else
      Add(n, run.input(0) + first, run.input(1) + first, sum + first);
  });
}

void ComputeHalfSquaredNorm(void*, TF_OpKernelContext* context) {
  Execution run(context);
  float* norm = run.output(0, 0, 0);
  if (!run.ok()) return;
  const double squares =
      run.isHalf(0) ? Squares(run.size(0), run.input<Bfloat16>(0)) : Squares(run.size(0), run.input(0));
  *norm = static_cast<float>(squares / 2);
}

void ScalarShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle* scalar = TF_ShapeInferenceContextScalar(context);
  TF_ShapeInferenceContextSetOutput(context, 0, scalar, status);
  TF_DeleteShapeHandle(scalar);
}

}  // namespace

void RegisterSums(TF_Status* status) {
  Register({"ClmAdd", {"x: float", "y: T"}, {"sum: float"}, {kProductType}, ShapesOfFirst<1>, ComputeAdd}, status);
  Register({"ClmSum", {"x: T", "y: T"}, {"sum: float"}, {kProductType}, ShapesOfFirst<1>, ComputeAdd}, status);
  Register({"ClmHalfSquaredNorm", {"x: T"}, {"norm: float"}, {kProductType}, ScalarShape, ComputeHalfSquaredNorm},
           status);
}
