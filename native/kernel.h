// clm's own operations, which do in one pass over memory what takes TensorFlow's four to ten: how a kernel sees one
// execution, and how operations are made known to TensorFlow through its C API (tensorflow/c/kernels.h, ops.h).
// fusedOperations.ts calls them, and its callers name the stock operations that they must equal. Where a
// micro-batch has a single branch its kernels share their rows among the cores, else a kernel runs on one thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <vector>

#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_datatype.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"
#include "math/vectors.h"

// The part of tensorflow/c/kernels.h that is used here: that header needs others that the set-up does not unpack.
extern "C" {
struct TF_KernelBuilder;
struct TF_OpKernelConstruction;
struct TF_OpKernelContext;
TF_KernelBuilder* TF_NewKernelBuilder(const char* operation, const char* device,
                                      void* (*create)(TF_OpKernelConstruction*),
                                      void (*compute)(void*, TF_OpKernelContext*), void (*remove)(void*));
void TF_RegisterKernelBuilder(const char* name, TF_KernelBuilder*, TF_Status*);
int TF_NumInputs(TF_OpKernelContext*);
void TF_GetInput(TF_OpKernelContext*, int i, TF_Tensor**, TF_Status*);
TF_Tensor* TF_AllocateOutput(TF_OpKernelContext*, int i, TF_DataType, const int64_t* dimensions, int rank, size_t bytes,
                             TF_Status*);
TF_DataType TF_ExpectedOutputDataType(TF_OpKernelContext*, int i);
TF_Tensor* TF_ForwardInputOrAllocateOutput(TF_OpKernelContext*, const int* candidates, int candidateCount, int i,
                                           const int64_t* dimensions, int rank, int* forwarded, TF_Status*);
void TF_OpKernelContext_Failure(TF_OpKernelContext*, TF_Status*);
void TF_OpKernelConstruction_Failure(TF_OpKernelConstruction*, TF_Status*);
void TF_OpKernelConstruction_GetAttrFloat(TF_OpKernelConstruction*, const char* name, float*, TF_Status*);
void TF_OpKernelConstruction_GetAttrBool(TF_OpKernelConstruction*, const char* name, unsigned char*, TF_Status*);
void TF_OpKernelConstruction_GetAttrType(TF_OpKernelConstruction*, const char* name, TF_DataType*, TF_Status*);
}

template <typename T>
constexpr TF_DataType kTypeOf = std::is_same_v<T, float> ? TF_FLOAT : TF_BFLOAT16;

// What a kernel sees of one execution. The first failure is kept; TensorFlow then ends the run with it.
class Execution {
 public:
  // Inputs, and dimensions of one.
  static constexpr int kMost = 12;

  // Inputs before `first` are handles, which have no data.
  explicit Execution(TF_OpKernelContext* context, int first = 0) : context_(context), status_(TF_NewStatus()) {
    const int inputs = TF_NumInputs(context);
    if (inputs > kMost) fail("clm: more inputs than a kernel can hold");
    for (int i = first; i < inputs && ok(); i++) TF_GetInput(context, i, &inputs_[i], status_);
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
  void fail(const char* message) {
    if (ok()) TF_SetStatus(status_, TF_INVALID_ARGUMENT, message);
  }
  int64_t size(int i) const { return TF_TensorElementCount(inputs_[i]); }
  int rank(int i) const { return TF_NumDims(inputs_[i]); }
  int64_t dimension(int i, int axis) const { return TF_Dim(inputs_[i], axis); }
  bool isHalfOutput(int i) const { return TF_ExpectedOutputDataType(context_, i) == TF_BFLOAT16; }
  bool isHalf(int i) const { return TF_TensorType(inputs_[i]) == TF_BFLOAT16; }
  template <typename T = float>
  const T* input(int i) const {
    return static_cast<const T*>(TF_TensorData(inputs_[i]));
  }
  float scalar(int i) const { return *input(i); }
  // The memory of input i, the value of a variable, to be updated where it stands.
  float* variable(int i) const { return static_cast<float*>(TF_TensorData(inputs_[i])); }

  // Input i must have as many elements as `expected`; shape inference knows shapes only where they are static.
  void expectSize(int i, int64_t expected) {
    if (ok() && size(i) != expected) fail("clm: inputs of different shapes");
  }
  // An output with the first `rank` dimensions of input `like` (all for -1); null after a failure.
  template <typename T = float>
  T* output(int i, int like, int rank = -1) {
    int64_t dimensions[kMost];
    return shapeOf(like, &rank, dimensions) ? outputOf<T>(i, dimensions, rank) : nullptr;
  }
  template <typename T = float>
  T* outputOf(int i, std::initializer_list<int64_t> dimensions) {
    return outputOf<T>(i, dimensions.begin(), static_cast<int>(dimensions.size()));
  }
  template <typename T = float>
  T* outputOf(int i, const int64_t* dimensions, int rank) {
    if (!ok()) return nullptr;
    int64_t elements = 1;
    for (int axis = 0; axis < rank; axis++) elements *= dimensions[axis];
    outputs_[i] = TF_AllocateOutput(context_, i, kTypeOf<T>, dimensions, rank, elements * sizeof(T), status_);
    return ok() ? static_cast<T*>(TF_TensorData(outputs_[i])) : nullptr;
  }
  // An output of the shape and type of input `like`, in its memory where nobody else reads it any more. That input is
  // let go of meanwhile: what is held here counts as a reader. Pointers to it taken before are void.
  template <typename T = float>
  T* outputOver(int i, int like) {
    int64_t dimensions[kMost];
    int rank = -1, forwarded = -1;
    if (!shapeOf(like, &rank, dimensions)) return nullptr;
    TF_DeleteTensor(inputs_[like]);
    inputs_[like] = nullptr;
    outputs_[i] = TF_ForwardInputOrAllocateOutput(context_, &like, 1, i, dimensions, rank, &forwarded, status_);
    if (ok()) TF_GetInput(context_, like, &inputs_[like], status_);
    return ok() ? static_cast<T*>(TF_TensorData(outputs_[i])) : nullptr;
  }

 private:
  bool shapeOf(int like, int* rank, int64_t* dimensions) {
    if (!ok()) return false;
    if (*rank < 0) *rank = TF_NumDims(inputs_[like]);
    if (*rank > kMost) fail("clm: more dimensions than a kernel can hold");
    for (int axis = 0; axis < *rank && ok(); axis++) dimensions[axis] = dimension(like, axis);
    return ok();
  }

  TF_OpKernelContext* context_;
  TF_Status* status_;
  TF_Tensor* inputs_[kMost] = {};
  TF_Tensor* outputs_[4] = {};
};

// Reads the attributes of an operation when its kernel is made.
class Construction {
 public:
  explicit Construction(TF_OpKernelConstruction* construction) : construction_(construction), status_(TF_NewStatus()) {}
  ~Construction() {
    if (TF_GetCode(status_) != TF_OK) TF_OpKernelConstruction_Failure(construction_, status_);
    TF_DeleteStatus(status_);
  }
  Construction(const Construction&) = delete;
  Construction& operator=(const Construction&) = delete;

  void read(const char* name, float* value) {
    if (ok()) TF_OpKernelConstruction_GetAttrFloat(construction_, name, value, status_);
  }
  void read(const char* name, bool* value) {
    unsigned char byte = 0;
    if (ok()) TF_OpKernelConstruction_GetAttrBool(construction_, name, &byte, status_);
    *value = byte != 0;
  }
  void read(const char* name, TF_DataType* value) {
    if (ok()) TF_OpKernelConstruction_GetAttrType(construction_, name, value, status_);
  }

 private:
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  TF_OpKernelConstruction* construction_;
  TF_Status* status_;
};

// `create` and `remove` of an operation whose attributes are held in an A, which reads them when it is made.
template <typename A>
void* NewAttributes(TF_OpKernelConstruction* kernel) {
  Construction construction(kernel);
  return new A(construction);
}
template <typename A>
void DeleteAttributes(void* attributes) {
  delete static_cast<A*>(attributes);
}

// The type of the numbers that go into products or come from them: float, or bfloat16 where products are in it.
constexpr const char* kProductType = "T: {float, bfloat16}";

struct Definition {
  const char* name;
  std::initializer_list<const char*> inputs;
  std::initializer_list<const char*> outputs;
  std::initializer_list<const char*> attributes;
  void (*shapes)(TF_ShapeInferenceContext*, TF_Status*);
  void (*compute)(void*, TF_OpKernelContext*);
  void* (*create)(TF_OpKernelConstruction*) = nullptr;
  void (*remove)(void*) = nullptr;
  // Does it change what its inputs point to?
  bool isUpdate = false;
};

// Shape inference: the first N outputs have the shapes of the first N inputs.
void ShapesOfInputs(TF_ShapeInferenceContext*, TF_Status*, int outputs);
template <int N>
void ShapesOfFirst(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapesOfInputs(context, status, N);
}

// An axis of an input.
struct Axis {
  int input;
  int64_t axis;
};
// Shape inference: `output` is as long along its axes as inputs are along these.
void ShapeAlong(TF_ShapeInferenceContext*, TF_Status*, int output, const std::vector<Axis>&);
int64_t RankOfInput(TF_ShapeInferenceContext*, TF_Status*, int input);

// Makes an operation known; of several failures the first is kept in `status`.
void Register(const Definition&, TF_Status* status);

// One for each file of kernels.
void RegisterActivations(TF_Status*);
void RegisterNorms(TF_Status*);
void RegisterAttention(TF_Status*);
void RegisterHeadsAttention(TF_Status*);
void RegisterCrossEntropy(TF_Status*);
void RegisterAdamW(TF_Status*);
void RegisterAccumulate(TF_Status*);
void RegisterSums(TF_Status*);
void RegisterAddRows(TF_Status*);
void RegisterFewRows(TF_Status*);
void RegisterCachedAttention(TF_Status*);
void RegisterProducts(TF_Status*);
