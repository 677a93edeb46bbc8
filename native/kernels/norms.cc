// LayerNorm and RMSNorm, forward and backward. The residual stream x is float32; the normalised rows, inputs of matrix
// products, are of type T.
//
// N rows · C width
#include <vector>

#include "../math/normRow.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

template <typename T>
VARIANTS void Norm(int64_t rows, int64_t width, bool centred, float epsilon, const float* x, const float* gain, T* y,
                   float* mean, float* inverse) {
  for (int64_t row = 0; row < rows; row++)
    NormRow(width, centred, epsilon, x + row * width, gain, y + row * width, mean + row, inverse + row);
}

// dx of one row; its share of dgain is added. The gradient has no component along the normalised row, nor (LayerNorm)
// along (1, …, 1): both are subtracted.
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
VARIANTS void NormGrad(int64_t rows, int64_t width, bool centred, const float* x, const float* gain, const float* mean,
                       const float* inverse, const T* dy, float* dx, float* dgain) {
  for (int64_t row = 0; row < rows; row++)
    NormGradRow(width, centred, mean[row], inverse[row], x + row * width, gain, dy + row * width, dx + row * width,
                dgain);
}

struct NormAttributes {
  float epsilon = 0;
  bool centred = false;
  explicit NormAttributes(Construction& construction) {
    construction.read("epsilon", &epsilon);
    construction.read("centred", &centred);
  }
};

template <typename T>
void ComputeNorm(Execution& run, const NormAttributes& attributes) {
  run.expectRank(0, 2);
  if (!run.ok()) return;
  const int64_t rows = run.dimension(0, 0), width = run.dimension(0, 1);
  run.expectSize(1, width);
  T* y = run.outputLike<T>(0, 0);
  float* mean = run.outputLike(1, 0, 1);
  float* inverse = run.outputLike(2, 0, 1);
  if (!run.ok()) return;
  const float *x = run.input(0), *gain = run.input(1);
  ShareRows(rows, width, [&](int64_t first, int64_t last) {
    Norm(last - first, width, attributes.centred, attributes.epsilon, x + first * width, gain, y + first * width,
         mean + first, inverse + first);
  });
}

template <typename T>
void ComputeNormGrad(Execution& run, const NormAttributes& attributes) {
  run.expectRank(0, 2);
  if (!run.ok()) return;
  const int64_t rows = run.dimension(0, 0), width = run.dimension(0, 1);
  run.expectSize(1, width);
  for (int i = 2; i <= 3; i++) run.expectSize(i, rows);
  run.expectSize(4, rows * width);
  float* dx = run.outputLike(0, 0);
  float* dgain = run.outputLike(1, 1);
  if (!run.ok()) return;
  // Each block of rows has its own sum of dgain, and these are added up in order: the number of threads does not change
  // a bit.
  constexpr int64_t kBlock = 64;
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  std::vector<float> sums(blocks * width);
  const float *x = run.input(0), *gain = run.input(1), *mean = run.input(2), *inverse = run.input(3);
  const T* dy = run.input<T>(4);
  ShareRows(blocks, kBlock * width, [&](int64_t firstBlock, int64_t lastBlock) {
    for (int64_t block = firstBlock; block < lastBlock; block++) {
      const int64_t first = block * kBlock, last = first + kBlock < rows ? first + kBlock : rows;
      NormGrad(last - first, width, attributes.centred, x + first * width, gain, mean + first, inverse + first,
               dy + first * width, dx + first * width, sums.data() + block * width);
    }
  });
  std::memset(dgain, 0, width * sizeof(float));
  for (int64_t block = 0; block < blocks; block++)
    for (int64_t i = 0; i < width; i++) dgain[i] += sums[block * width + i];
}

// (N, C) → (N, C), (N), (N)
void NormShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapesOfInputs(context, status, 1);
  for (int output = 1; output <= 2; output++) ShapeAlong(context, status, output, {{0, 0}});
}

const Registration norm = Operation("ClmNorm", {"x: float", "gain: float"}, {"y: T", "mean: float", "inverse: float"})
                              .attribute("epsilon: float")
                              .attribute("centred: bool")
                              .shapes(NormShapes)
                              .kernels<ComputeNorm<float>, ComputeNorm<Bfloat16>>();
const Registration normGrad =
    Operation("ClmNormGrad", {"x: float", "gain: float", "mean: float", "inverse: float", "dy: T"},
              {"dx: float", "dgain: float"})
        .attribute("epsilon: float")
        .attribute("centred: bool")
        .shapes(ShapesOfFirst<2>)
        .kernels<ComputeNormGrad<float>, ComputeNormGrad<Bfloat16>>();

}  // namespace
