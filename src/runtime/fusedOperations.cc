// The elementwise parts of a decoder as one pass over memory each, where TensorFlow's own operations take four to ten:
// GELU, SwiGLU, LayerNorm and RMSNorm, forward and backward, for float32 on a CPU. Registered with TensorFlow through
// its C API (tensorflow/c/kernels.h, ops.h); TypeScript calls them in fusedOperations.ts, where the stock operations
// that they must equal are named. Each kernel runs on one thread: the branches of a micro-batch share the cores.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_datatype.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

// The part of tensorflow/c/kernels.h that is used here: that header needs others that the set-up does not unpack.
extern "C" {
struct TF_KernelBuilder;
struct TF_OpKernelConstruction;
struct TF_OpKernelContext;
TF_KernelBuilder* TF_NewKernelBuilder(const char* operation, const char* device, void* (*create)(TF_OpKernelConstruction*),
                                      void (*compute)(void*, TF_OpKernelContext*), void (*remove)(void*));
void TF_RegisterKernelBuilder(const char* name, TF_KernelBuilder*, TF_Status*);
int TF_NumInputs(TF_OpKernelContext*);
void TF_GetInput(TF_OpKernelContext*, int i, TF_Tensor**, TF_Status*);
TF_Tensor* TF_AllocateOutput(TF_OpKernelContext*, int i, TF_DataType, const int64_t* dimensions, int rank, size_t bytes, TF_Status*);
void TF_OpKernelContext_Failure(TF_OpKernelContext*, TF_Status*);
void TF_OpKernelConstruction_Failure(TF_OpKernelConstruction*, TF_Status*);
void TF_OpKernelConstruction_GetAttrFloat(TF_OpKernelConstruction*, const char* name, float*, TF_Status*);
void TF_OpKernelConstruction_GetAttrBool(TF_OpKernelConstruction*, const char* name, unsigned char*, TF_Status*);
}

// One library serves every x86-64: the loader picks the widest variant that the processor has.
#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__) && __GNUC__ >= 12
#define VARIANTS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VARIANTS
#endif
#define INLINE static inline __attribute__((always_inline))

namespace {

// Partial sums of a row: enough for the widest vectors, added up in a fixed order.
constexpr int kLanes = 16;

INLINE float SumOfLanes(const float* lanes) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; lane++) sum += lanes[lane];
  return sum;
}

// eˣ to 2 units in the last place, without branches so that loops over it vectorise: 2ⁿ · eʳ, |r| ≤ ½ ln 2.
INLINE float Exponential(float x) {
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float n = __builtin_rintf(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  float e = 1.0f / 5040;                                        // Taylor's series, error below 2⁻²⁴
  e = e * r + 1.0f / 720;
  e = e * r + 1.0f / 120;
  e = e * r + 1.0f / 24;
  e = e * r + 1.0f / 6;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return e * power;
}

INLINE float Sigmoid(float x) { return 1.0f / (1.0f + Exponential(-x)); }

// GELU in the tanh form: u · sigmoid(2z), z = √(2/π)(u + 0.044715 u³).
constexpr float kLinear = 1.5957691216f;             // 2√(2/π)
constexpr float kCubic = kLinear * 0.044715f;

VARIANTS void Gelu(int64_t n, const float* __restrict x, float* __restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i] * Sigmoid(x[i] * (kCubic * x[i] * x[i] + kLinear));
}

VARIANTS void GeluGrad(int64_t n, const float* __restrict x, const float* __restrict dy, float* __restrict dx) {
  for (int64_t i = 0; i < n; i++) {
    const float square = x[i] * x[i];
    const float s = Sigmoid(x[i] * (kCubic * square + kLinear));
    dx[i] = dy[i] * s * (1.0f + x[i] * (1.0f - s) * (3.0f * kCubic * square + kLinear));
  }
}

VARIANTS void Swiglu(int64_t n, const float* __restrict gate, const float* __restrict up, float* __restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = gate[i] * Sigmoid(gate[i]) * up[i];
}

VARIANTS void SwigluGrad(int64_t n, const float* __restrict gate, const float* __restrict up, const float* __restrict dy,
                         float* __restrict dgate, float* __restrict dup) {
  for (int64_t i = 0; i < n; i++) {
    const float s = Sigmoid(gate[i]);
    dup[i] = dy[i] * gate[i] * s;
    dgate[i] = dy[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
  }
}

// One row of LayerNorm, or of RMSNorm, which takes the mean for 0.
VARIANTS void NormRow(int64_t width, bool centred, float epsilon, const float* __restrict x, const float* __restrict gain,
                      float* __restrict y, float* mean, float* inverse) {
  const int64_t whole = width - width % kLanes;
  float m = 0;
  if (centred) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < whole; i += kLanes)
      for (int lane = 0; lane < kLanes; lane++) lanes[lane] += x[i + lane];
    for (int64_t i = whole; i < width; i++) lanes[0] += x[i];
    m = SumOfLanes(lanes) / static_cast<float>(width);
  }
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] += (x[i + lane] - m) * (x[i + lane] - m);
  for (int64_t i = whole; i < width; i++) lanes[0] += (x[i] - m) * (x[i] - m);
  const float r = 1.0f / std::sqrt(SumOfLanes(lanes) / static_cast<float>(width) + epsilon);
  for (int64_t i = 0; i < width; i++) y[i] = (x[i] - m) * r * gain[i];
  *mean = m;
  *inverse = r;
}

// dx of one row, and its share of dgain added. The gradient has no component along the normalised row, nor (LayerNorm)
// along 1: both means are taken out.
VARIANTS void NormGradRow(int64_t width, bool centred, float m, float r, const float* __restrict x,
                          const float* __restrict gain, const float* __restrict dy, float* __restrict dx,
                          float* __restrict dgain) {
  const int64_t whole = width - width % kLanes;
  float sums[kLanes] = {}, products[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) {
      const float normalised = (x[i + lane] - m) * r, dn = dy[i + lane] * gain[i + lane];
      sums[lane] += dn;
      products[lane] += dn * normalised;
      dgain[i + lane] += dy[i + lane] * normalised;
    }
  for (int64_t i = whole; i < width; i++) {
    const float normalised = (x[i] - m) * r, dn = dy[i] * gain[i];
    sums[0] += dn;
    products[0] += dn * normalised;
    dgain[i] += dy[i] * normalised;
  }
  const float along1 = centred ? SumOfLanes(sums) / static_cast<float>(width) : 0.0f;
  const float alongRow = SumOfLanes(products) / static_cast<float>(width);
  for (int64_t i = 0; i < width; i++) dx[i] = r * (dy[i] * gain[i] - along1 - (x[i] - m) * r * alongRow);
}

// What a kernel sees of one execution. The first failure is kept in `status`; TensorFlow then ends the run with it.
class Execution {
 public:
  explicit Execution(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {
    for (int i = 0; i < TF_NumInputs(context) && ok(); i++) TF_GetInput(context, i, &inputs_[i], status_);
  }
  ~Execution() {
    if (!ok()) TF_OpKernelContext_Failure(context_, status_);
    for (TF_Tensor* tensor : inputs_)
      if (tensor != nullptr) TF_DeleteTensor(tensor);
    for (TF_Tensor* tensor : outputs_)
      if (tensor != nullptr) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  int64_t size(int i) const { return TF_TensorElementCount(inputs_[i]); }
  const float* input(int i) const { return static_cast<const float*>(TF_TensorData(inputs_[i])); }
  int64_t dimension(int i, int axis) const { return TF_Dim(inputs_[i], axis); }

  // Input i must have as many elements as `expected`; shape inference knows shapes only where they are static.
  void expectSize(int i, int64_t expected) {
    if (ok() && size(i) != expected) TF_SetStatus(status_, TF_INVALID_ARGUMENT, "clm: inputs of different shapes");
  }
  // An output with the first `rank` dimensions of input `like` (all for -1); null after a failure.
  float* output(int i, int like, int rank = -1) {
    if (!ok()) return nullptr;
    int64_t dimensions[8];
    if (rank < 0) rank = TF_NumDims(inputs_[like]);
    if (rank > 8) {
      TF_SetStatus(status_, TF_INVALID_ARGUMENT, "clm: more than 8 dimensions");
      return nullptr;
    }
    size_t bytes = sizeof(float);
    for (int axis = 0; axis < rank; axis++) bytes *= dimensions[axis] = dimension(like, axis);
    outputs_[i] = TF_AllocateOutput(context_, i, TF_FLOAT, dimensions, rank, bytes, status_);
    return ok() ? static_cast<float*>(TF_TensorData(outputs_[i])) : nullptr;
  }

 private:
  TF_OpKernelContext* context_;
  TF_Status* status_;
  TF_Tensor* inputs_[5] = {};
  TF_Tensor* outputs_[3] = {};
};

struct NormAttributes {
  float epsilon;
  unsigned char centred;
};

void* NewNormAttributes(TF_OpKernelConstruction* construction) {
  auto* attributes = new NormAttributes();
  TF_Status* status = TF_NewStatus();
  TF_OpKernelConstruction_GetAttrFloat(construction, "epsilon", &attributes->epsilon, status);
  if (TF_GetCode(status) == TF_OK) TF_OpKernelConstruction_GetAttrBool(construction, "centred", &attributes->centred, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return attributes;
}
void DeleteNormAttributes(void* attributes) { delete static_cast<NormAttributes*>(attributes); }

void ComputeGelu(void*, TF_OpKernelContext* context) {
  Execution run(context);
  float* y = run.output(0, 0);
  if (run.ok()) Gelu(run.size(0), run.input(0), y);
}

void ComputeGeluGrad(void*, TF_OpKernelContext* context) {
  Execution run(context);
  run.expectSize(1, run.ok() ? run.size(0) : 0);
  float* dx = run.output(0, 0);
  if (run.ok()) GeluGrad(run.size(0), run.input(0), run.input(1), dx);
}

void ComputeSwiglu(void*, TF_OpKernelContext* context) {
  Execution run(context);
  run.expectSize(1, run.ok() ? run.size(0) : 0);
  float* y = run.output(0, 0);
  if (run.ok()) Swiglu(run.size(0), run.input(0), run.input(1), y);
}

void ComputeSwigluGrad(void*, TF_OpKernelContext* context) {
  Execution run(context);
  for (int i = 1; i <= 2; i++) run.expectSize(i, run.ok() ? run.size(0) : 0);
  float* dgate = run.output(0, 0);
  float* dup = run.output(1, 1);
  if (run.ok()) SwigluGrad(run.size(0), run.input(0), run.input(1), run.input(2), dgate, dup);
}

void ComputeNorm(void* kernel, TF_OpKernelContext* context) {
  const auto& [epsilon, centred] = *static_cast<NormAttributes*>(kernel);
  Execution run(context);
  if (!run.ok()) return;
  const int64_t rows = run.dimension(0, 0), width = run.dimension(0, 1);
  run.expectSize(1, width);
  float* y = run.output(0, 0);
  float* mean = run.output(1, 0, 1);
  float* inverse = run.output(2, 0, 1);
  if (!run.ok()) return;
  for (int64_t row = 0; row < rows; row++)
    NormRow(width, centred, epsilon, run.input(0) + row * width, run.input(1), y + row * width, mean + row, inverse + row);
}

void ComputeNormGrad(void* kernel, TF_OpKernelContext* context) {
  const bool centred = static_cast<NormAttributes*>(kernel)->centred;
  Execution run(context);
  if (!run.ok()) return;
  const int64_t rows = run.dimension(0, 0), width = run.dimension(0, 1);
  run.expectSize(1, width);
  for (int i = 2; i <= 3; i++) run.expectSize(i, rows);
  run.expectSize(4, rows * width);
  float* dx = run.output(0, 0);
  float* dgain = run.output(1, 1);
  if (!run.ok()) return;
  std::memset(dgain, 0, width * sizeof(float));
  for (int64_t row = 0; row < rows; row++)
    NormGradRow(width, centred, run.input(2)[row], run.input(3)[row], run.input(0) + row * width, run.input(1),
                run.input(4) + row * width, dx + row * width, dgain);
}

// Output i has the shape of input i.
void ShapesOfInputs(TF_ShapeInferenceContext* context, TF_Status* status, int outputs) {
  TF_ShapeHandle* shape = TF_NewShapeHandle();
  for (int i = 0; i < outputs && TF_GetCode(status) == TF_OK; i++) {
    TF_ShapeInferenceContextGetInput(context, i, shape, status);
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, i, shape, status);
  }
  TF_DeleteShapeHandle(shape);
}
void OneShape(TF_ShapeInferenceContext* context, TF_Status* status) { ShapesOfInputs(context, status, 1); }
void TwoShapes(TF_ShapeInferenceContext* context, TF_Status* status) { ShapesOfInputs(context, status, 2); }

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

struct Definition {
  const char* name;
  const char* inputs[6];
  const char* outputs[4];
  const char* attributes[3];
  void (*shapes)(TF_ShapeInferenceContext*, TF_Status*);
  void* (*create)(TF_OpKernelConstruction*);
  void (*compute)(void*, TF_OpKernelContext*);
  void (*remove)(void*);
};

const Definition definitions[] = {
    {"ClmGelu", {"x: float"}, {"y: float"}, {}, OneShape, nullptr, ComputeGelu, nullptr},
    {"ClmGeluGrad", {"x: float", "dy: float"}, {"dx: float"}, {}, OneShape, nullptr, ComputeGeluGrad, nullptr},
    {"ClmSwiglu", {"gate: float", "up: float"}, {"y: float"}, {}, OneShape, nullptr, ComputeSwiglu, nullptr},
    {"ClmSwigluGrad", {"gate: float", "up: float", "dy: float"}, {"dgate: float", "dup: float"}, {}, TwoShapes, nullptr,
     ComputeSwigluGrad, nullptr},
    {"ClmNorm", {"x: float", "gain: float"}, {"y: float", "mean: float", "inverse: float"},
     {"epsilon: float", "centred: bool"}, NormShapes, NewNormAttributes, ComputeNorm, DeleteNormAttributes},
    {"ClmNormGrad", {"x: float", "gain: float", "mean: float", "inverse: float", "dy: float"},
     {"dx: float", "dgain: float"}, {"epsilon: float", "centred: bool"}, TwoShapes, NewNormAttributes, ComputeNormGrad,
     DeleteNormAttributes},
};

}  // namespace

// Called once a process, after libtensorflow has been loaded. Returns 0, or the number of the definition that failed.
extern "C" __attribute__((visibility("default"))) int RegisterClmOperations() {
  TF_Status* status = TF_NewStatus();
  int number = 0, failed = 0;
  for (const Definition& definition : definitions) {
    number++;
    TF_OpDefinitionBuilder* builder = TF_NewOpDefinitionBuilder(definition.name);
    for (int i = 0; i < 6 && definition.inputs[i] != nullptr; i++) TF_OpDefinitionBuilderAddInput(builder, definition.inputs[i]);
    for (int i = 0; i < 4 && definition.outputs[i] != nullptr; i++) TF_OpDefinitionBuilderAddOutput(builder, definition.outputs[i]);
    for (int i = 0; i < 3 && definition.attributes[i] != nullptr; i++) TF_OpDefinitionBuilderAddAttr(builder, definition.attributes[i]);
    TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, definition.shapes);
    TF_RegisterOpDefinition(builder, status);
    if (TF_GetCode(status) == TF_OK) {
      TF_KernelBuilder* kernel = TF_NewKernelBuilder(definition.name, "CPU", definition.create, definition.compute, definition.remove);
      TF_RegisterKernelBuilder(definition.name, kernel, status);
    }
    if (TF_GetCode(status) != TF_OK && failed == 0) failed = number;
  }
  TF_DeleteStatus(status);
  return failed;
}
