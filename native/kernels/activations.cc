// GELU, SwiGLU and squared ReLU, forward and backward. Their inputs and outputs are those of matrix products, hence of
// type T.
#include "../math/activations.h"

#include "../operation.h"
#include "../parallel.h"

namespace {

template <typename T>
VARIANTS void Gelu(int64_t n, const T* __restrict x, T* __restrict y) {
  for (int64_t i = 0; i < n; i++) Store(y + i, GeluOf(Load(x + i)));
}

template <typename T>
VARIANTS void GeluGrad(int64_t n, const T* __restrict x, const T* __restrict dy, T* __restrict dx) {
  for (int64_t i = 0; i < n; i++) {
    const float u = Load(x + i), square = u * u;
    const float s = Sigmoid(u * (kCubic * square + kLinear));
    Store(dx + i, Load(dy + i) * s * (1.0f + u * (1.0f - s) * (3.0f * kCubic * square + kLinear)));
  }
}

template <typename T>
VARIANTS void Swiglu(int64_t n, const T* __restrict gate, const T* __restrict up, T* __restrict y) {
  for (int64_t i = 0; i < n; i++) Store(y + i, SiluOf(Load(gate + i)) * Load(up + i));
}

template <typename T>
VARIANTS void SwigluGrad(int64_t n, const T* __restrict gate, const T* __restrict up, const T* __restrict dy,
                         T* __restrict dgate, T* __restrict dup) {
  for (int64_t i = 0; i < n; i++) {
    const float g = Load(gate + i), d = Load(dy + i), s = Sigmoid(g);
    Store(dup + i, d * g * s);
    Store(dgate + i, d * Load(up + i) * s * (1.0f + g * (1.0f - s)));
  }
}

// Squared ReLU: max(u, 0)².
template <typename T>
VARIANTS void SquaredRelu(int64_t n, const T* __restrict x, T* __restrict y) {
  for (int64_t i = 0; i < n; i++) {
    const float u = Load(x + i);
    Store(y + i, u < 0.0f ? 0.0f : u * u);  // NaN stays NaN
  }
}

template <typename T>
VARIANTS void SquaredReluGrad(int64_t n, const T* __restrict x, const T* __restrict dy, T* __restrict dx) {
  for (int64_t i = 0; i < n; i++) {
    const float u = Load(x + i);
    Store(dx + i, u < 0.0f ? 0.0f : 2.0f * u * Load(dy + i));
  }
}

// The functions of one input, and their gradients.
template <typename T, void (*function)(int64_t, const T*, T*)>
void Compute(Execution& run) {
  T* y = run.outputLike<T>(0, 0);
  if (!run.ok()) return;
  const T* x = run.input<T>(0);
  ShareRows(run.size(0), 1, [&](int64_t first, int64_t last) { function(last - first, x + first, y + first); });
}

template <typename T, void (*gradient)(int64_t, const T*, const T*, T*)>
void ComputeGrad(Execution& run) {
  run.expectSize(1, run.size(0));
  T* dx = run.outputLike<T>(0, 0);
  if (!run.ok()) return;
  const T *x = run.input<T>(0), *dy = run.input<T>(1);
  ShareRows(run.size(0), 1,
            [&](int64_t first, int64_t last) { gradient(last - first, x + first, dy + first, dx + first); });
}

template <typename T>
void ComputeSwiglu(Execution& run) {
  run.expectSize(1, run.size(0));
  T* y = run.outputLike<T>(0, 0);
  if (!run.ok()) return;
  const T *gate = run.input<T>(0), *up = run.input<T>(1);
  ShareRows(run.size(0), 1,
            [&](int64_t first, int64_t last) { Swiglu(last - first, gate + first, up + first, y + first); });
}

template <typename T>
void ComputeSwigluGrad(Execution& run) {
  for (int i = 1; i <= 2; i++) run.expectSize(i, run.size(0));
  T* dgate = run.outputLike<T>(0, 0);
  T* dup = run.outputLike<T>(1, 1);
  if (!run.ok()) return;
  const T *gate = run.input<T>(0), *up = run.input<T>(1), *dy = run.input<T>(2);
  ShareRows(run.size(0), 1, [&](int64_t first, int64_t last) {
    SwigluGrad(last - first, gate + first, up + first, dy + first, dgate + first, dup + first);
  });
}

const Registration gelu =
    Operation("ClmGelu", {"x: T"}, {"y: T"})
        .shapes(ShapesOfFirst<1>)
        .kernels<Compute<float, Gelu<float>>, Compute<Bfloat16, Gelu<Bfloat16>>>();
const Registration geluGrad =
    Operation("ClmGeluGrad", {"x: T", "dy: T"}, {"dx: T"})
        .shapes(ShapesOfFirst<1>)
        .kernels<ComputeGrad<float, GeluGrad<float>>, ComputeGrad<Bfloat16, GeluGrad<Bfloat16>>>();
const Registration squaredRelu =
    Operation("ClmSquaredRelu", {"x: T"}, {"y: T"})
        .shapes(ShapesOfFirst<1>)
        .kernels<Compute<float, SquaredRelu<float>>, Compute<Bfloat16, SquaredRelu<Bfloat16>>>();
const Registration squaredReluGrad =
    Operation("ClmSquaredReluGrad", {"x: T", "dy: T"}, {"dx: T"})
        .shapes(ShapesOfFirst<1>)
        .kernels<ComputeGrad<float, SquaredReluGrad<float>>, ComputeGrad<Bfloat16, SquaredReluGrad<Bfloat16>>>();
const Registration swiglu = Operation("ClmSwiglu", {"gate: T", "up: T"}, {"y: T"})
                                .shapes(ShapesOfFirst<1>)
                                .kernels<ComputeSwiglu<float>, ComputeSwiglu<Bfloat16>>();
const Registration swigluGrad = Operation("ClmSwigluGrad", {"gate: T", "up: T", "dy: T"}, {"dgate: T", "dup: T"})
                                    .shapes(ShapesOfFirst<2>)
                                    .kernels<ComputeSwigluGrad<float>, ComputeSwigluGrad<Bfloat16>>();

}  // namespace
