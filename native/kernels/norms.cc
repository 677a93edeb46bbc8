// LayerNorm and RMSNorm, forward and backward: the residual stream x is float32, the normalised rows go into products.
#include <vector>

#include "../kernel.h"
#include "../parallel.h"

namespace {

// One row of LayerNorm, or of RMSNorm, which takes the mean for 0.
template <typename T>
INLINE void NormRow(int64_t width, bool centred, float epsilon, const float* __restrict x, const float* __restrict gain,
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
template <typename T>
INLINE void NormLoop(int64_t rows, int64_t width, bool centred, float epsilon, const float* x, const float* gain, T* y,
                     float* mean, float* inverse) {
  for (int64_t row = 0; row < rows; row++)
    NormRow(width, centred, epsilon, x + row * width, gain, y + row * width, mean + row, inverse + row);
}
VARIANTS void Norm(int64_t rows, int64_t width, bool centred, float epsilon, const float* x, const float* gain,
                   float* y, float* mean, float* inverse) {
  NormLoop(rows, width, centred, epsilon, x, gain, y, mean, inverse);
}
VARIANTS void Norm(int64_t rows, int64_t width, bool centred, float epsilon, const float* x, const float* gain,
                   Bfloat16* y, float* mean, float* inverse) {
  NormLoop(rows, width, centred, epsilon, x, gain, y, mean, inverse);
}

// dx of one row, and its share of dgain added. The gradient has no component along the normalised row, nor (LayerNorm)
// along 1: both means are taken out.
template <typename T>
INLINE void NormGradRow(int64_t width, bool centred, float m, float r, const float* __restrict x,
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
template <typename T>
INLINE void NormGradLoop(int64_t rows, int64_t width, bool centred, const float* x, const float* gain,
                         const float* mean, const float* inverse, const T* dy, float* dx, float* dgain) {
  for (int64_t row = 0; row < rows; row++)
    NormGradRow(width, centred, mean[row], inverse[row], x + row * width, gain, dy + row * width, dx + row * width,
                dgain);
}
VARIANTS void NormGrad(int64_t rows, int64_t width, bool centred, const float* x, const float* gain, const float* mean,
                       const float* inverse, const float* dy, float* dx, float* dgain) {
  NormGradLoop(rows, width, centred, x, gain, mean, inverse, dy, dx, dgain);
}
VARIANTS void NormGrad(int64_t rows, int64_t width, bool centred, const float* x, const float* gain, const float* mean,
                       const float* inverse, const Bfloat16* dy, float* dx, float* dgain) {
  NormGradLoop(rows, width, centred, x, gain, mean, inverse, dy, dx, dgain);
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
  const float* x = run.input(0);
  ShareRows(rows, width, [&](int64_t first, int64_t last) {
    Norm(last - first, width, kind.centred, kind.epsilon, x + first * width, run.input(1), y + first * width,
         mean + first, inverse + first);
  });
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
  // Blocks of rows each have a sum of dgain of their own, added up in order: threads change no bit of it.
  constexpr int64_t kBlock = 64;
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  std::vector<float> sums(blocks * width);
  const float* x = run.input(0);
  const T* dy = run.input<T>(4);
  ShareRows(blocks, kBlock * width, [&](int64_t firstBlock, int64_t lastBlock) {
    for (int64_t block = firstBlock; block < lastBlock; block++) {
      const int64_t first = block * kBlock, last = first + kBlock < rows ? first + kBlock : rows;
      NormGrad(last - first, width, kind.centred, x + first * width, run.input(1), run.input(2) + first,
               run.input(3) + first, dy + first * width, dx + first * width, sums.data() + block * width);
    }
  });
  std::memset(dgain, 0, width * sizeof(float));
  for (int64_t block = 0; block < blocks; block++)
    for (int64_t i = 0; i < width; i++) dgain[i] += sums[block * width + i];
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
  Register({"ClmNorm",
            {"x: float", "gain: float"},
            {"y: T", "mean: float", "inverse: float"},
            {kProductType, "epsilon: float", "centred: bool"},
            NormShapes,
            ComputeNorm,
            create,
            remove},
           status);
  Register({"ClmNormGrad",
            {"x: float", "gain: float", "mean: float", "inverse: float", "dy: T"},
            {"dx: float", "dgain: float"},
            {kProductType, "epsilon: float", "centred: bool"},
            ShapesOfFirst<2>,
            ComputeNormGrad,
            create,
            remove},
           status);
}
