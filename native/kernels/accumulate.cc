// The gradients of several micro-batches, added up in a variable.
#include "../kernel.h"
#include "../parallel.h"

namespace {

template <typename T>
INLINE void AccumulateLoop(int64_t n, bool isFirst, const T* __restrict gradient, float* __restrict sum) {
  if (isFirst)
    for (int64_t i = 0; i < n; i++) sum[i] = Load(gradient + i);
  else
    for (int64_t i = 0; i < n; i++) sum[i] += Load(gradient + i);
}
VARIANTS void Accumulate(int64_t n, bool isFirst, const float* gradient, float* sum) {
  AccumulateLoop(n, isFirst, gradient, sum);
}
VARIANTS void Accumulate(int64_t n, bool isFirst, const Bfloat16* gradient, float* sum) {
  AccumulateLoop(n, isFirst, gradient, sum);
}

// Inputs: handle of the variable · its value, which shares its memory and is written over · gradient · 0 where the sum
// begins with this gradient, whatever stood there before. Nothing else of the program may read the value.
void ComputeAccumulate(void*, TF_OpKernelContext* context) {
  Execution run(context, 1);
  if (!run.ok()) return;
  run.expectSize(2, run.size(1));
  run.expectSize(3, 1);
  if (!run.ok()) return;
  float* sum = run.variable(1);
  const bool isFirst = run.scalar(3) == 0;
  ShareRows(run.size(1), 1, [&](int64_t first, int64_t last) {
    if (run.isHalf(2))
      Accumulate(last - first, isFirst, run.input<Bfloat16>(2) + first, sum + first);
    else
      Accumulate(last - first, isFirst, run.input(2) + first, sum + first);
  });
}

}  // namespace

void RegisterAccumulate(TF_Status* status) {
  Register({"ClmAccumulate",
            {"variable: resource", "sum: float", "gradient: T", "has_begun: float"},
            {},
            {kProductType},
            ShapesOfFirst<0>,
            ComputeAccumulate,
            nullptr,
            nullptr,
            true},
           status);
}
