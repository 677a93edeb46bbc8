// One execution of a kernel as its code sees it: inputs, outputs and failure, on top of TensorFlow's C API.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "math/vectors.h"
#include "tensorflow/c/c_api.h"

// The part of tensorflow/c/kernels.h that clm uses. The header itself includes others that the wheel does not contain.
extern "C" {
struct TF_KernelBuilder;
struct TF_OpKernelConstruction;
struct TF_OpKernelContext;
TF_KernelBuilder* TF_NewKernelBuilder(const char* operation, const char* device,
                                      void* (*create)(TF_OpKernelConstruction*),
                                      void (*compute)(void*, TF_OpKernelContext*), void (*remove)(void*));
void TF_KernelBuilder_TypeConstraint(TF_KernelBuilder*, const char* attribute, TF_DataType, TF_Status*);
void TF_RegisterKernelBuilder(const char* name, TF_KernelBuilder*, TF_Status*);
int TF_NumInputs(TF_OpKernelContext*);
int TF_NumOutputs(TF_OpKernelContext*);
void TF_GetInput(TF_OpKernelContext*, int i, TF_Tensor**, TF_Status*);
TF_Tensor* TF_AllocateOutput(TF_OpKernelContext*, int i, TF_DataType, const int64_t* dimensions, int rank, size_t bytes,
                             TF_Status*);
TF_Tensor* TF_ForwardInputOrAllocateOutput(TF_OpKernelContext*, const int* candidates, int candidateCount, int i,
                                           const int64_t* dimensions, int rank, int* forwarded, TF_Status*);
struct TF_AllocatorAttributes;
TF_Tensor* TF_AllocateTemp(TF_OpKernelContext*, TF_DataType, const int64_t* dimensions, int rank,
                           TF_AllocatorAttributes*, TF_Status*);
TF_StringView TF_GetOpKernelName(TF_OpKernelContext*);
void TF_OpKernelContext_Failure(TF_OpKernelContext*, TF_Status*);
void TF_OpKernelConstruction_Failure(TF_OpKernelConstruction*, TF_Status*);
void TF_OpKernelConstruction_GetAttrFloat(TF_OpKernelConstruction*, const char* name, float*, TF_Status*);
void TF_OpKernelConstruction_GetAttrBool(TF_OpKernelConstruction*, const char* name, unsigned char*, TF_Status*);
void TF_OpKernelConstruction_GetAttrInt32(TF_OpKernelConstruction*, const char* name, int32_t*, TF_Status*);
}

template <typename T>
constexpr TF_DataType kTypeOf = std::is_same_v<T, float> ? TF_FLOAT : TF_BFLOAT16;

// The first failure is kept; TensorFlow then ends the run of the program with it.
class Execution {
 public:
  static constexpr int kMost = 12;  // inputs, outputs, and dimensions of one of them

  explicit Execution(TF_OpKernelContext* context) : Execution(context, 0) {}
  ~Execution() {
    if (!ok()) TF_OpKernelContext_Failure(context_, status_);
    for (TF_Tensor* tensor : inputs_)
      if (tensor != nullptr) TF_DeleteTensor(tensor);
    for (TF_Tensor* tensor : outputs_)
      if (tensor != nullptr) TF_DeleteTensor(tensor);
    for (TF_Tensor* tensor : temporary_)
      if (tensor != nullptr) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  void fail(const std::string& message) {
    const TF_StringView name = TF_GetOpKernelName(context_);
    const std::string text = "clm kernel " + std::string(name.data, name.len) + ": " + message;
    if (ok()) TF_SetStatus(status_, TF_INVALID_ARGUMENT, text.c_str());
  }
  // Checks of inputs at run time: shape inference knows only those shapes that are static.
  void expectRank(int i, int expected) {
    if (ok() && rank(i) != expected) fail(shapeText(i) + " must have " + std::to_string(expected) + " dimensions");
  }
  void expectSize(int i, int64_t expected) {
    if (ok() && size(i) != expected) fail(shapeText(i) + " must have " + std::to_string(expected) + " elements");
  }
  // "input 1 of shape (2, 3)", for messages.
  std::string shapeText(int i) const {
    std::string text = "input " + std::to_string(i) + " of shape (";
    for (int axis = 0; axis < rank(i); axis++) text += (axis > 0 ? ", " : "") + std::to_string(dimension(i, axis));
    return text + ")";
  }

  int64_t size(int i) const { return TF_TensorElementCount(inputs_[i]); }
  int rank(int i) const { return TF_NumDims(inputs_[i]); }
  int64_t dimension(int i, int axis) const { return TF_Dim(inputs_[i], axis); }
  template <typename T = float>
  const T* input(int i) const {
    return static_cast<const T*>(TF_TensorData(inputs_[i]));
  }
  float scalar(int i) const { return *input(i); }
  // The memory of the variable whose value is input i: what is written there is in the variable.
  float* variable(int i) const { return static_cast<float*>(TF_TensorData(inputs_[i])); }

  // Output i with the first `rank` dimensions of input `like` (-1: all of them). All outputs are null after a failure.
  template <typename T = float>
  T* outputLike(int i, int like, int rank = -1) {
    int64_t dimensions[kMost];
    return copyShape(like, &rank, dimensions) ? output<T>(i, dimensions, rank) : nullptr;
  }
  template <typename T = float>
  T* output(int i, std::initializer_list<int64_t> dimensions) {
    return output<T>(i, dimensions.begin(), static_cast<int>(dimensions.size()));
  }
  template <typename T = float>
  T* output(int i, const int64_t* dimensions, int rank) {
    if (!ok()) return nullptr;
    int64_t elements = 1;
    for (int axis = 0; axis < rank; axis++) elements *= dimensions[axis];
    return keep<T>(i, TF_AllocateOutput(context_, i, kTypeOf<T>, dimensions, rank, elements * sizeof(T), status_));
  }
  // Memory until the end of the execution, from TensorFlow's allocator: it keeps what is freed for the next one. Null
  // after a failure; at most kMost times.
  float* temporary(int64_t numbers) {
    if (!ok()) return nullptr;
    TF_Tensor*& tensor = temporary_[temporaries_++];
    struct Attributes {
      size_t size = sizeof(Attributes);
      unsigned char onHost = 1;
    } attributes;
    tensor = TF_AllocateTemp(context_, TF_FLOAT, &numbers, 1, reinterpret_cast<TF_AllocatorAttributes*>(&attributes),
                             status_);
    return ok() ? static_cast<float*>(TF_TensorData(tensor)) : nullptr;
  }

  // Output i with the shape and type of input `like`, in the memory of that input if nothing else will read it. The
  // input is released and fetched again, because a reference held here counts as a reader: pointers to it that were
  // taken before are invalid.
  template <typename T = float>
  T* outputOver(int i, int like) {
    int64_t dimensions[kMost];
    int rank = -1, forwarded = -1;
    if (!copyShape(like, &rank, dimensions)) return nullptr;
    TF_DeleteTensor(inputs_[like]);
    inputs_[like] = nullptr;
    T* numbers =
        keep<T>(i, TF_ForwardInputOrAllocateOutput(context_, &like, 1, i, dimensions, rank, &forwarded, status_));
    if (ok()) TF_GetInput(context_, like, &inputs_[like], status_);
    return ok() ? numbers : nullptr;
  }

 protected:
  // Inputs before `first` are handles, which have no data.
  Execution(TF_OpKernelContext* context, int first) : context_(context), status_(TF_NewStatus()) {
    const int inputs = TF_NumInputs(context);
    if (inputs > kMost || TF_NumOutputs(context) > kMost)
      fail("kernels have at most " + std::to_string(kMost) + " inputs and outputs");
    for (int i = first; i < inputs && ok(); i++) TF_GetInput(context, i, &inputs_[i], status_);
  }

 private:
  // Holds output i until the end of the execution. TensorFlow has checked that there is such an output.
  template <typename T>
  T* keep(int i, TF_Tensor* output) {
    if (!ok()) return nullptr;
    outputs_[i] = output;
    return static_cast<T*>(TF_TensorData(output));
  }
  bool copyShape(int like, int* rank, int64_t* dimensions) {
    if (!ok()) return false;
    if (*rank < 0) *rank = TF_NumDims(inputs_[like]);
    if (*rank > kMost) fail(shapeText(like) + " has more than " + std::to_string(kMost) + " dimensions");
    for (int axis = 0; axis < *rank && ok(); axis++) dimensions[axis] = dimension(like, axis);
    return ok();
  }

  TF_OpKernelContext* context_;
  TF_Status* status_;
  TF_Tensor* inputs_[kMost] = {};
  TF_Tensor* outputs_[kMost] = {};
  TF_Tensor* temporary_[kMost] = {};
  int temporaries_ = 0;
};

// An execution that updates a variable: input 0 is the variable's handle, further inputs are values of variables, which
// share the variables' memory.
class Update : public Execution {
 public:
  explicit Update(TF_OpKernelContext* context) : Execution(context, 1) {}
};

// Reads the attributes of an operation when TensorFlow constructs its kernel.
class Construction {
 public:
  explicit Construction(TF_OpKernelConstruction* construction) : construction_(construction), status_(TF_NewStatus()) {}
  ~Construction() {
    if (!ok()) TF_OpKernelConstruction_Failure(construction_, status_);
    TF_DeleteStatus(status_);
  }
  Construction(const Construction&) = delete;
  Construction& operator=(const Construction&) = delete;

  void read(const char* name, float* value) {
    if (ok()) TF_OpKernelConstruction_GetAttrFloat(construction_, name, value, status_);
  }
  void read(const char* name, int32_t* value) {
    if (ok()) TF_OpKernelConstruction_GetAttrInt32(construction_, name, value, status_);
  }
  void read(const char* name, bool* value) {
    unsigned char byte = 0;
    if (ok()) TF_OpKernelConstruction_GetAttrBool(construction_, name, &byte, status_);
    *value = byte != 0;
  }

 private:
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  TF_OpKernelConstruction* construction_;
  TF_Status* status_;
};
