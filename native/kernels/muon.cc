// The update of a matrix by Muon (src/training/optimizers/muon.ts) in place: momentum, its orthogonal factor, weight
// decay. One thread computes a matrix; TensorFlow's threads share the matrices of the model.
#include <algorithm>
#include <cmath>

#include "../math/polar.h"
#include "../operation.h"

namespace {

struct Muon {
  int64_t rows, columns, stride, padded;  // numbers from a row of the parameter to the next, and of `ahead`
  float momentum, gradientFactor, stepSize, decay;
};

// Momentum, and where it would be after the same gradient once more (Nesterov).
template <typename T>
VARIANTS void LookAhead(const Muon& muon, const T* __restrict gradient, float* __restrict momentum,
                        float* __restrict ahead) {
  const float kept = muon.momentum, factor = muon.gradientFactor;
  for (int64_t row = 0; row < muon.rows; row++) {
    for (int64_t i = 0; i < muon.columns; i++) {
      const float g = Load(gradient + i) * factor * (1.0f - kept), m = momentum[i] * kept + g;
      momentum[i] = m;
      ahead[i] = m * kept + g;
    }
    for (int64_t i = muon.columns; i < muon.padded; i++) ahead[i] = 0;
    gradient += muon.stride, momentum += muon.stride, ahead += muon.padded;
  }
}

VARIANTS void Step(const Muon& muon, const float* __restrict direction, float* __restrict parameter) {
  for (int64_t row = 0; row < muon.rows; row++, direction += muon.padded, parameter += muon.stride)
    for (int64_t i = 0; i < muon.columns; i++)
      parameter[i] = parameter[i] - (direction[i] * muon.stepSize + parameter[i] * muon.decay);
}

struct MuonAttributes {
  int32_t first = 0, columns = 0;
  float scale = 0, weightDecay = 0;
  bool onTiles = false;
  explicit MuonAttributes(Construction& construction) {
    construction.read("first", &first);
    construction.read("columns", &columns);
    construction.read("scale", &scale);
    construction.read("weight_decay", &weightDecay);
    construction.read("on_tiles", &onTiles);
  }
};

// Inputs: handle of the parameter's variable · parameter · momentum · gradient · learning rate · decay of the momentum
// · factor of the gradient · coefficients of the polynomials (iterations, 3). The matrix is `columns` columns of the
// parameter, from `first` on. As for ClmAdamW, inputs 1 and 2 are updated in place.
template <typename T>
void ComputeMuon(Update& run, const MuonAttributes& attributes) {
  run.expectRank(1, 2);
  for (int i = 2; i <= 3; i++) run.expectSize(i, run.size(1));
  for (int i = 4; i <= 6; i++) run.expectSize(i, 1);
  run.expectRank(7, 2);
  if (!run.ok()) return;
  const auto& [first, columns, scale, weightDecay, onTiles] = attributes;
  const int64_t rows = run.dimension(1, 0), stride = run.dimension(1, 1);
  if (first < 0 || columns < 1 || first + columns > stride)
    return run.fail(run.shapeText(1) + " has no columns " + std::to_string(first) + " to " +
                    std::to_string(first + columns));
  const int64_t paddedRows = PolarSize(rows), padded = PolarSize(columns);
  float* ahead = run.temporary(paddedRows * padded);
  float* work = run.temporary(PolarWork(rows, columns));
  if (!run.ok()) return;
  const float learningRate = run.scalar(4);
  const Muon muon{
      rows, columns, stride, padded, run.scalar(5), run.scalar(6), learningRate * scale, learningRate * weightDecay};
  LookAhead(muon, run.input<T>(3) + first, run.variable(2) + first, ahead);
  std::fill(ahead + rows * padded, ahead + paddedRows * padded, 0.0f);
  const float* direction = PolarFactor(rows, columns, onTiles, run.dimension(7, 0), run.input(7), ahead, work);
  Step(muon, direction, run.variable(1) + first);
}

const Registration muon =
    Operation("ClmMuon",
              {"variable: resource", "parameter: float", "momentum: float", "gradient: T", "learning_rate: float",
               "momentum_decay: float", "gradient_factor: float", "coefficients: float"},
              {})
        .attribute("first: int")
        .attribute("columns: int")
        .attribute("scale: float")
        .attribute("weight_decay: float")
        .attribute("on_tiles: bool")
        .updates()
        .shapes(ShapesOfFirst<0>)
        .kernels<ComputeMuon<float>, ComputeMuon<Bfloat16>>();

}  // namespace
