// GELU and SwiGLU, forward and backward. What they read and write stands between products.
#include "../kernel.h"
#include "../parallel.h"

namespace {

// GELU in the tanh form: u · sigmoid(2z), z = √(2/π)(u + 0.044715 u³).
constexpr float kLinear = 1.5957691216f;  // 2√(2/π)
constexpr float kCubic = kLinear * 0.044715f;

template <typename T>
INLINE void GeluLoop(int64_t n, const T* __restrict x, T* __restrict y) {
  for (int64_t i = 0; i < n; i++) {
    const float u = Load(x + i);
    Store(y + i, u * Sigmoid(u * (kCubic * u * u + kLinear)));
  }
}
VARIANTS void Gelu(int64_t n, const float* x, float* y) { GeluLoop(n, x, y); }
VARIANTS void Gelu(int64_t n, const Bfloat16* x, Bfloat16* y) { GeluLoop(n, x, y); }

template <typename T>
INLINE void GeluGradLoop(int64_t n, const T* __restrict x, const T* __restrict dy, T* __restrict dx) {
  for (int64_t i = 0; i < n; i++) {
    const float u = Load(x + i), square = u * u;
    const float s = Sigmoid(u * (kCubic * square + kLinear));
    Store(dx + i, Load(dy + i) * s * (1.0f + u * (1.0f - s) * (3.0f * kCubic * square + kLinear)));
  }
}
VARIANTS void GeluGrad(int64_t n, const float* x, const float* dy, float* dx) { GeluGradLoop(n, x, dy, dx); }
VARIANTS void GeluGrad(int64_t n, const Bfloat16* x, const Bfloat16* dy, Bfloat16* dx) { GeluGradLoop(n, x, dy, dx); }

template <typename T>
INLINE void SwigluLoop(int64_t n, const T* __restrict gate, const T* __restrict up, T* __restrict y) {
  for (int64_t i = 0; i < n; i++) {
    const float g = Load(gate + i);
    Store(y + i, g * Sigmoid(g) * Load(up + i));
  }
}
VARIANTS void Swiglu(int64_t n, const float* gate, const float* up, float* y) { SwigluLoop(n, gate, up, y); }
VARIANTS void Swiglu(int64_t n, const Bfloat16* gate, const Bfloat16* up, Bfloat16* y) { SwigluLoop(n, gate, up, y); }

template <typename T>
INLINE void SwigluGradLoop(int64_t n, const T* __restrict gate, const T* __restrict up, const T* __restrict dy,
                           T* __restrict dgate, T* __restrict dup) {
  for (int64_t i = 0; i < n; i++) {
    const float g = Load(gate + i), d = Load(dy + i), s = Sigmoid(g);
    Store(dup + i, d * g * s);
    Store(dgate + i, d * Load(up + i) * s * (1.0f + g * (1.0f - s)));
  }
}
VARIANTS void SwigluGrad(int64_t n, const float* gate, const float* up, const float* dy, float* dgate, float* dup) {
  SwigluGradLoop(n, gate, up, dy, dgate, dup);
}
VARIANTS void SwigluGrad(int64_t n, const Bfloat16* gate, const Bfloat16* up, const Bfloat16* dy, Bfloat16* dgate,
                         Bfloat16* dup) {
  SwigluGradLoop(n, gate, up, dy, dgate, dup);
}

template <typename T>
void GeluOf(Execution& run) {
  T* y = run.output<T>(0, 0);
  if (!run.ok()) return;
  const T* x = run.input<T>(0);
  ShareRows(run.size(0), 1, [&](int64_t first, int64_t last) { Gelu(last - first, x + first, y + first); });
}
void ComputeGelu(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (run.ok()) run.isHalf(0) ? GeluOf<Bfloat16>(run) : GeluOf<float>(run);
}

template <typename T>
void GeluGradOf(Execution& run) {
  run.expectSize(1, run.size(0));
  T* dx = run.output<T>(0, 0);
  if (!run.ok()) return;
  const T *x = run.input<T>(0), *dy = run.input<T>(1);
  ShareRows(run.size(0), 1,
            [&](int64_t first, int64_t last) { GeluGrad(last - first, x + first, dy + first, dx + first); });
}
void ComputeGeluGrad(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (run.ok()) run.isHalf(0) ? GeluGradOf<Bfloat16>(run) : GeluGradOf<float>(run);
}

template <typename T>
void SwigluOf(Execution& run) {
  run.expectSize(1, run.size(0));
  T* y = run.output<T>(0, 0);
  if (!run.ok()) return;
  const T *gate = run.input<T>(0), *up = run.input<T>(1);
  ShareRows(run.size(0), 1,
            [&](int64_t first, int64_t last) { Swiglu(last - first, gate + first, up + first, y + first); });
}
void ComputeSwiglu(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (run.ok()) run.isHalf(0) ? SwigluOf<Bfloat16>(run) : SwigluOf<float>(run);
}

template <typename T>
void SwigluGradOf(Execution& run) {
  for (int i = 1; i <= 2; i++) run.expectSize(i, run.size(0));
  T* dgate = run.output<T>(0, 0);
  T* dup = run.output<T>(1, 1);
  if (!run.ok()) return;
  const T *gate = run.input<T>(0), *up = run.input<T>(1), *dy = run.input<T>(2);
  ShareRows(run.size(0), 1, [&](int64_t first, int64_t last) {
    SwigluGrad(last - first, gate + first, up + first, dy + first, dgate + first, dup + first);
  });
}
void ComputeSwigluGrad(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (run.ok()) run.isHalf(0) ? SwigluGradOf<Bfloat16>(run) : SwigluGradOf<float>(run);
}

}  // namespace

void RegisterActivations(TF_Status* status) {
  Register({"ClmGelu", {"x: T"}, {"y: T"}, {kProductType}, ShapesOfFirst<1>, ComputeGelu}, status);
  Register({"ClmGeluGrad", {"x: T", "dy: T"}, {"dx: T"}, {kProductType}, ShapesOfFirst<1>, ComputeGeluGrad}, status);
  Register({"ClmSwiglu", {"gate: T", "up: T"}, {"y: T"}, {kProductType}, ShapesOfFirst<1>, ComputeSwiglu}, status);
  Register({"ClmSwigluGrad",
            {"gate: T", "up: T", "dy: T"},
            {"dgate: T", "dup: T"},
            {kProductType},
            ShapesOfFirst<2>,
            ComputeSwigluGrad},
           status);
}
