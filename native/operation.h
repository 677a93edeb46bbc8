// How a file of kernels defines its operations. Each definition is a static constant:
//
//   const Registration gelu = Operation("ClmGelu", {"x: T"}, {"y: T"})
//                                 .shapes(ShapesOfFirst<1>)
//                                 .kernels<ComputeGelu<float>, ComputeGelu<Bfloat16>>();
#pragma once

#include <utility>
#include <vector>

#include "execution.h"
#include "tensorflow/c/ops.h"

// The functions through which TensorFlow runs `compute`, a function of one of the forms
//   void Compute(Execution&)    void Compute(Execution&, const Attributes&)
// or the same with Update. Attributes is a type that is constructed from a Construction&.
template <auto compute>
struct KernelFunctions;
template <typename Run, void (*compute)(Run&)>
struct KernelFunctions<compute> {
  static constexpr void* (*create)(TF_OpKernelConstruction*) = nullptr;
  static constexpr void (*remove)(void*) = nullptr;
  static void Compute(void*, TF_OpKernelContext* context) {
    Run run(context);
    if (run.ok()) compute(run);
  }
};
template <typename Run, typename Attributes, void (*compute)(Run&, const Attributes&)>
struct KernelFunctions<compute> {
  static void* create(TF_OpKernelConstruction* kernel) {
    Construction construction(kernel);
    return new Attributes(construction);
  }
  static void remove(void* attributes) { delete static_cast<Attributes*>(attributes); }
  static void Compute(void* attributes, TF_OpKernelContext* context) {
    Run run(context);
    if (run.ok()) compute(run, *static_cast<const Attributes*>(attributes));
  }
};

// An operation of the graph, and its kernels for the CPU. Inputs, outputs and attributes are written as in TensorFlow's
// REGISTER_OP: "x: float", "scale: float".
class Operation {
 public:
  using Shapes = void (*)(TF_ShapeInferenceContext*, TF_Status*);
  struct TypeConstraint {
    const char* attribute;
    TF_DataType type;
  };

  Operation(const char* name, std::vector<const char*> inputs, std::vector<const char*> outputs)
      : name_(name), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
  Operation& attribute(const char* declaration) {
    attributes_.push_back(declaration);
    return *this;
  }
  // The function that infers the shapes of the outputs when the operation is added to a graph.
  Operation& shapes(Shapes shapes) {
    shapes_ = shapes;
    return *this;
  }
  // The operation updates variables: TensorFlow must neither leave it out nor merge two of them.
  Operation& updates() {
    isUpdate_ = true;
    return *this;
  }
  // The kernel that computes the operation if its type attributes have these values.
  template <auto compute>
  Operation& kernel(std::vector<TypeConstraint> types = {}) {
    using Functions = KernelFunctions<compute>;
    kernels_.push_back({std::move(types), Functions::create, Functions::Compute, Functions::remove});
    return *this;
  }
  // The kernels of an operation with the attribute T: the type of what matrix products read and write, float32 or (in
  // precision bfloat16) bfloat16.
  template <auto float32, auto bfloat16>
  Operation& kernels() {
    return attribute("T: {float, bfloat16}")
        .kernel<float32>({{"T", TF_FLOAT}})
        .template kernel<bfloat16>({{"T", TF_BFLOAT16}});
  }

  void Register(TF_Status*) const;

 private:
  struct Kernel {
    std::vector<TypeConstraint> types;
    void* (*create)(TF_OpKernelConstruction*);
    void (*compute)(void*, TF_OpKernelContext*);
    void (*remove)(void*);
  };

  const char* name_;
  std::vector<const char*> inputs_, outputs_, attributes_;
  Shapes shapes_ = nullptr;
  bool isUpdate_ = false;
  std::vector<Kernel> kernels_;
};

// Adds an operation to those that RegisterOperations makes known to TensorFlow.
struct Registration {
  Registration(const Operation&);
};

// Makes the operations of all files known to TensorFlow, in no particular order; ends at the first failure.
void RegisterOperations(TF_Status*);

// Shape inference: the first N outputs have the shapes of the first N inputs.
void ShapesOfInputs(TF_ShapeInferenceContext*, TF_Status*, int outputs);
template <int N>
void ShapesOfFirst(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapesOfInputs(context, status, N);
}

struct Axis {
  int input;
  int64_t axis;
  int64_t more = 0;
};
// Shape inference: the dimensions of `output` are those of these axes of inputs, plus `more`; none for a scalar.
void ShapeAlong(TF_ShapeInferenceContext*, TF_Status*, int output, const std::vector<Axis>&);
int64_t RankOfInput(TF_ShapeInferenceContext*, TF_Status*, int input);
