// LayerNorm and RMSNorm, forward and backward: the residual stream x is float32, the normalised rows go into products.
#include "kernel.h"

namespace {

// One row of LayerNorm, or of RMSNorm, which takes the mean for 0.
template <typename T>
INLINE void NormRowLoop(int64_t width, bool centred, float epsilon, const float* __restrict x, const float* __restrict gain,
                        T* __restrict y, float* mean, float* inverse) {
  const int64_t whole = width - width % kLanes;
  const float m = centred ? Sum(width, x) / static_cast<float>(width) : 0.0f;
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] += (x[i + lane] - m) * (x[i + lane] - m);
  for (int64_t i = whole; i < width; i++) lanes[0] += (x[i] - m) * (x[i] - m);
  const float r = 1.0f / std::sqrt(SumOfLanes(lanes) / static_cast<float>(width) + epsilon);
  for (int64_t i = 0; i < width; i++) Store(y + i, (x[i] - m) * r * gain[i]);
  *mean = m;
  *inverse = r;
}
VARIANTS void NormRow(int64_t width, bool centred, float epsilon, const float* x, const float* gain, float* y, float* mean, float* inverse) {
  NormRowLoop(width, centred, epsilon, x, gain, y, mean, inverse);
}
VARIANTS void NormRow(int64_t width, bool centred, float epsilon, const float* x, const float* gain, Bfloat16* y, float* mean, float* inverse) {
  NormRowLoop(width, centred, epsilon, x, gain, y, mean, inverse);
}

// dx of one row, and its share of dgain added. The gradient has no component along the normalised row, nor (LayerNorm)
// along 1: both means are taken out.
template <typename T>
INLINE void NormGradRowLoop(int64_t width, bool centred, float m, float r, const float* __restrict x,
                            const float* __restrict gain, const T* __restrict dy, float* __restrict dx,
                            float* __restrict dgain) {
  const int64_t whole = width - width % kLanes;
  float sums[kLanes] = {}, products[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) {
      const float d = Load(dy + i + lane), normalised = (x[i + lane] - m) * r, dn = d * gain[i + lane];
      sums[lane] += dn;
      products[lane] += dn * normalised;
      dgain[i + lane] += d * normalised;
    }
  for (int64_t i = whole; i < width; i++) {
    const float d = Load(dy + i), normalised = (x[i] - m) * r, dn = d * gain[i];
    sums[0] += dn;
    products[0] += dn * normalised;
    dgain[i] += d * normalised;
  }
  const float along1 = centred ? SumOfLanes(sums) / static_cast<float>(width) : 0.0f;
  const float alongRow = SumOfLanes(products) / static_cast<float>(width);
  for (int64_t i = 0; i < width; i++) dx[i] = r * (Load(dy + i) * gain[i] - along1 - (x[i] - m) * r * alongRow);
}
VARIANTS void NormGradRow(int64_t width, bool centred, float m, float r, const float* x, const float* gain, const float* dy,
                          float* dx, float* dgain) {
  NormGradRowLoop(width, centred, m, r, x, gain, dy, dx, dgain);
}
VARIANTS void NormGradRow(int64_t width, bool centred, float m, float r, const float* x, const float* gain, const Bfloat16* dy,
                          float* dx, float* dgain) {
  NormGradRowLoop(width, centred, m, r, x, gain, dy, dx, dgain);
}

struct NormAttributes {
  float epsilon = 0;
  bool centred = false;
  TF_DataType type = TF_FLOAT;
  explicit NormAttributes(Construction& construction) {
    construction.read("epsilon", &epsilon);
    construction.read("centred", &centred);
    construction.read("T", &type);
  }
};

template <typename T>
void NormOf(Execution& run, const NormAttributes& kind) {
  const int64_t rows = run.dimension(0, 0), width = run.dimension(0, 1);
  run.expectSize(1, width);
  T* y = run.output<T>(0, 0);
  float* mean = run.output(1, 0, 1);
  float* inverse = run.output(2, 0, 1);
  if (!run.ok()) return;
  for (int64_t row = 0; row < rows; row++)
    NormRow(width, kind.centred, kind.epsilon, run.input(0) + row * width, run.input(1), y + row * width, mean + row, inverse + row);
}
void ComputeNorm(void* kernel, TF_OpKernelContext* context) {
  const auto& kind = *static_cast<NormAttributes*>(kernel);
  Execution run(context);
  if (run.ok()) kind.type == TF_BFLOAT16 ? NormOf<Bfloat16>(run, kind) : NormOf<float>(run, kind);
}

template <typename T>
void NormGradOf(Execution& run, const NormAttributes& kind) {
  const int64_t rows = run.dimension(0, 0), width = run.dimension(0, 1);
  run.expectSize(1, width);
  for (int i = 2; i <= 3; i++) run.expectSize(i, rows);
  run.expectSize(4, rows * width);
  float* dx = run.output(0, 0);
  float* dgain = run.output(1, 1);
  if (!run.ok()) return;
  std::memset(dgain, 0, width * sizeof(float));
  for (int64_t row = 0; row < rows; row++)
    NormGradRow(width, kind.centred, run.input(2)[row], run.input(3)[row], run.input(0) + row * width, run.input(1),
                run.input<T>(4) + row * width, dx + row * width, dgain);
}
void ComputeNormGrad(void* kernel, TF_OpKernelContext* context) {
  const auto& kind = *static_cast<NormAttributes*>(kernel);
  Execution run(context);
  if (run.ok()) kind.type == TF_BFLOAT16 ? NormGradOf<Bfloat16>(run, kind) : NormGradOf<float>(run, kind);
}

// (N, C) → (N, C), (N), (N)
void NormShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapesOfInputs(context, status, 1);
  TF_ShapeHandle* shape = TF_NewShapeHandle();
  TF_ShapeHandle* rows = TF_NewShapeHandle();
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextGetInput(context, 0, shape, status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextWithRank(context, shape, 2, shape, status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSubshape(context, shape, 0, 1, rows, status);
  for (int i = 1; i <= 2; i++)
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, i, rows, status);
  TF_DeleteShapeHandle(shape);
  TF_DeleteShapeHandle(rows);
}

}  // namespace

void RegisterNorms(TF_Status* status) {
  const auto create = NewAttributes<NormAttributes>;
  const auto remove = DeleteAttributes<NormAttributes>;
  Register({"ClmNorm", {"x: float", "gain: float"}, {"y: T", "mean: float", "inverse: float"},
            {kProductType, "epsilon: float", "centred: bool"}, NormShapes, ComputeNorm, create, remove},
           status);
  Register({"ClmNormGrad", {"x: float", "gain: float", "mean: float", "inverse: float", "dy: T"}, {"dx: float", "dgain: float"},
            {kProductType, "epsilon: float", "centred: bool"}, ShapesOfFirst<2>, ComputeNormGrad, create, remove},
           status);
}
