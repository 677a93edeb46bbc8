// Makes the operations of every file of kernels known to TensorFlow.
#include "kernel.h"

void ShapesOfInputs(TF_ShapeInferenceContext* context, TF_Status* status, int outputs) {
  TF_ShapeHandle* shape = TF_NewShapeHandle();
  for (int i = 0; i < outputs && TF_GetCode(status) == TF_OK; i++) {
    TF_ShapeInferenceContextGetInput(context, i, shape, status);
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, i, shape, status);
  }
  TF_DeleteShapeHandle(shape);
}

void ShapeAlong(TF_ShapeInferenceContext* context, TF_Status* status, int output, const std::vector<Axis>& axes) {
  TF_ShapeHandle *input = TF_NewShapeHandle(), *length = TF_NewShapeHandle(), *shape = TF_NewShapeHandle();
  const auto attempt = [&](auto call, auto... arguments) {
    if (TF_GetCode(status) == TF_OK) call(context, arguments..., status);
  };
  for (size_t i = 0; i < axes.size(); i++) {
    const auto [from, axis] = axes[i];
    attempt(TF_ShapeInferenceContextGetInput, from, input);
    attempt(TF_ShapeInferenceContextSubshape, input, axis, axis + 1, i == 0 ? shape : length);
    if (i > 0) attempt(TF_ShapeInferenceContextConcatenateShapes, shape, length, shape);
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

void Register(const Definition& definition, TF_Status* status) {
  if (TF_GetCode(status) != TF_OK) return;
  TF_OpDefinitionBuilder* builder = TF_NewOpDefinitionBuilder(definition.name);
  for (const char* input : definition.inputs) TF_OpDefinitionBuilderAddInput(builder, input);
  for (const char* output : definition.outputs) TF_OpDefinitionBuilderAddOutput(builder, output);
  for (const char* attribute : definition.attributes) TF_OpDefinitionBuilderAddAttr(builder, attribute);
  TF_OpDefinitionBuilderSetIsStateful(builder, definition.isUpdate);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, definition.shapes);
  TF_RegisterOpDefinition(builder, status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_KernelBuilder* kernel =
      TF_NewKernelBuilder(definition.name, "CPU", definition.create, definition.compute, definition.remove);
  TF_RegisterKernelBuilder(definition.name, kernel, status);
}

// Called once a process, after libtensorflow has been loaded. Returns TensorFlow's error code; 0 is success.
extern "C" __attribute__((visibility("default"))) int RegisterClmOperations() {
  TF_Status* status = TF_NewStatus();
  RegisterActivations(status);
  RegisterNorms(status);
  RegisterAttention(status);
  RegisterHeadsAttention(status);
  RegisterCrossEntropy(status);
  RegisterAdamW(status);
  RegisterAccumulate(status);
  RegisterSums(status);
  RegisterAddRows(status);
  RegisterFewRows(status);
  RegisterCachedAttention(status);
  RegisterProducts(status);
  const int code = TF_GetCode(status);
  TF_DeleteStatus(status);
  return code;
}
