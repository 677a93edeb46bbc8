// Gradient accumulation: adds the gradient of a micro-batch to the sum kept in a variable.
#include "../operation.h"
#include "../parallel.h"

namespace {

template <typename T>
VARIANTS void Accumulate(int64_t n, bool isFirst, const T* __restrict gradient, float* __restrict sum) {
  if (isFirst)
    for (int64_t i = 0; i < n; i++) sum[i] = Load(gradient + i);
  else
    for (int64_t i = 0; i < n; i++) sum[i] += Load(gradient + i);
}

// Inputs: handle of the variable · its value, which shares its memory and is overwritten · gradient · a scalar, 0 if
// the sum starts with this gradient, whatever the variable held before. Nothing else in the program may read the value.
template <typename T>
void ComputeAccumulate(Update& run) {
  run.expectSize(2, run.size(1));
  run.expectSize(3, 1);
  if (!run.ok()) return;
  float* sum = run.variable(1);
  const T* gradient = run.input<T>(2);
  const bool isFirst = run.scalar(3) == 0;
  ShareRows(run.size(1), 1,
            [&](int64_t first, int64_t last) { Accumulate(last - first, isFirst, gradient + first, sum + first); });
}

const Registration accumulate =
    Operation("ClmAccumulate", {"variable: resource", "sum: float", "gradient: T", "has_begun: float"}, {})
        .updates()
        .shapes(ShapesOfFirst<0>)
        .kernels<ComputeAccumulate<float>, ComputeAccumulate<Bfloat16>>();

}  // namespace
