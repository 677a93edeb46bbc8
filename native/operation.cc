// Registers operations with TensorFlow; shape inference.
#include "operation.h"

namespace {

// In a function, so that it exists before the static constants of other files are initialised.
std::vector<Operation>& Operations() {
  static std::vector<Operation> operations;
  return operations;
}

}  // namespace

Registration::Registration(const Operation& operation) { Operations().push_back(operation); }

void RegisterOperations(TF_Status* status) {
  for (const Operation& operation : Operations())
    if (TF_GetCode(status) == TF_OK) operation.Register(status);
}

void Operation::Register(TF_Status* status) const {
  TF_OpDefinitionBuilder* builder = TF_NewOpDefinitionBuilder(name_);
  for (const char* input : inputs_) TF_OpDefinitionBuilderAddInput(builder, input);
  for (const char* output : outputs_) TF_OpDefinitionBuilderAddOutput(builder, output);
  for (const char* attribute : attributes_) TF_OpDefinitionBuilderAddAttr(builder, attribute);
  TF_OpDefinitionBuilderSetIsStateful(builder, isUpdate_);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, shapes_);
  TF_RegisterOpDefinition(builder, status);
  for (const auto& [types, create, compute, remove] : kernels_) {
    if (TF_GetCode(status) != TF_OK) return;
    TF_KernelBuilder* kernel = TF_NewKernelBuilder(name_, "CPU", create, compute, remove);
    for (const auto& [attribute, type] : types) TF_KernelBuilder_TypeConstraint(kernel, attribute, type, status);
    TF_RegisterKernelBuilder(name_, kernel, status);
  }
}

void ShapesOfInputs(TF_ShapeInferenceContext* context, TF_Status* status, int outputs) {
  TF_ShapeHandle* shape = TF_NewShapeHandle();
  for (int i = 0; i < outputs && TF_GetCode(status) == TF_OK; i++) {
    TF_ShapeInferenceContextGetInput(context, i, shape, status);
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, i, shape, status);
  }
  TF_DeleteShapeHandle(shape);
}

void ShapeAlong(TF_ShapeInferenceContext* context, TF_Status* status, int output, const std::vector<Axis>& axes) {
  TF_ShapeHandle *input = TF_NewShapeHandle(), *length = TF_NewShapeHandle();
  TF_ShapeHandle* shape = TF_ShapeInferenceContextScalar(context);
  const auto attempt = [&](auto call, auto... arguments) {
    if (TF_GetCode(status) == TF_OK) call(context, arguments..., status);
  };
  for (const auto [from, axis, more] : axes) {
    attempt(TF_ShapeInferenceContextGetInput, from, input);
    attempt(TF_ShapeInferenceContextSubshape, input, axis, axis + 1, length);
    if (more != 0 && TF_GetCode(status) == TF_OK) {
      TF_DimensionHandle* dimension = TF_NewDimensionHandle();
      TF_ShapeInferenceContextDim(context, input, axis, dimension);
      TF_DeleteShapeHandle(length);
      length = TF_ShapeInferenceContextVectorFromSize(context, TF_DimensionHandleValue(dimension) + more);
      TF_DeleteDimensionHandle(dimension);
    }
    attempt(TF_ShapeInferenceContextConcatenateShapes, shape, length, shape);
  }
  attempt(TF_ShapeInferenceContextSetOutput, output, shape);
  for (TF_ShapeHandle* handle : {input, length, shape}) TF_DeleteShapeHandle(handle);
}

int64_t RankOfInput(TF_ShapeInferenceContext* context, TF_Status* status, int input) {
  TF_ShapeHandle* shape = TF_NewShapeHandle();
  TF_ShapeInferenceContextGetInput(context, input, shape, status);
  const int64_t rank = TF_GetCode(status) == TF_OK ? TF_ShapeInferenceContextRank(context, shape) : 0;
  TF_DeleteShapeHandle(shape);
  return rank;
}
