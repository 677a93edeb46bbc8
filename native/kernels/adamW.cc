// The update of a parameter by AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) in one pass over
// parameter, moments and gradient, including gradient clipping and weight decay.
#include "../operation.h"

namespace {

struct Adam {
  float oneMinusBeta1, oneMinusBeta2, stepSize, epsilon, gradientFactor, decay;
};

// Computed in the order of TensorFlow's operations: weight decay, then ResourceApplyAdam, which adds ε to √v before the
// bias correction.
template <typename T>
VARIANTS void AdamW(int64_t n, const Adam& adam, float* __restrict parameter, float* __restrict firstMoment,
                    float* __restrict secondMoment, const T* __restrict gradient) {
  const auto [oneMinusBeta1, oneMinusBeta2, stepSize, epsilon, gradientFactor, decay] = adam;
  for (int64_t i = 0; i < n; i++) {
    const float g = Load(gradient + i) * gradientFactor;
    const float m = firstMoment[i] + (g - firstMoment[i]) * oneMinusBeta1;
    const float v = secondMoment[i] + (g * g - secondMoment[i]) * oneMinusBeta2;
    const float p = parameter[i] - parameter[i] * decay;
    parameter[i] = p - m * stepSize / (std::sqrt(v) + epsilon);
    firstMoment[i] = m;
    secondMoment[i] = v;
  }
}

struct AdamWAttributes {
  float beta1 = 0, beta2 = 0, weightDecay = 0;
  explicit AdamWAttributes(Construction& construction) {
    construction.read("beta1", &beta1);
    construction.read("beta2", &beta2);
    construction.read("weight_decay", &weightDecay);
  }
};

// Inputs: handle of the parameter's variable · parameter · first moment · second moment · gradient · learning rate ·
// β₁ᵗ · β₂ᵗ · ε·√(1−β₂ᵗ) · factor of the gradient. Inputs 1 to 3 share the memory of their variables and are updated in
// it: control edges of the graph must ensure that nothing reads the former values afterwards.
template <typename T>
void ComputeAdamW(Update& run, const AdamWAttributes& attributes) {
  const int64_t n = run.size(1);
  for (int i = 2; i <= 4; i++) run.expectSize(i, n);
  for (int i = 5; i <= 9; i++) run.expectSize(i, 1);
  if (!run.ok()) return;
  const auto& [beta1, beta2, weightDecay] = attributes;
  const float learningRate = run.scalar(5);
  const Adam adam{1.0f - beta1,  1.0f - beta2,  learningRate * std::sqrt(1.0f - run.scalar(7)) / (1.0f - run.scalar(6)),
                  run.scalar(8), run.scalar(9), learningRate * weightDecay};
  AdamW(n, adam, run.variable(1), run.variable(2), run.variable(3), run.input<T>(4));
}

const Registration adamW =
    Operation("ClmAdamW",
              {"variable: resource", "parameter: float", "first_moment: float", "second_moment: float", "gradient: T",
               "learning_rate: float", "beta1_power: float", "beta2_power: float", "epsilon: float",
               "gradient_factor: float"},
              {})
        .attribute("beta1: float")
        .attribute("beta2: float")
        .attribute("weight_decay: float")
        .updates()
        .shapes(ShapesOfFirst<0>)
        .kernels<ComputeAdamW<float>, ComputeAdamW<Bfloat16>>();

}  // namespace
