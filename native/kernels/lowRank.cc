// Low-rank adapters (LoRA) of a linear operation y = x·W: y + scaling·(x·A)·B, and the gradient. A product with so few
// columns is bound by reading x or y, which happens once for everything that is computed of it, and the result goes
// into the memory that y, or the gradient by x so far, is in. Matrices are float32; what other products read and write
// is of type T. Sums are in an order that does not depend on the threads.
//
// N rows · K inputs · M outputs, of which `columns` from `start` on are adapted · R rank
#include <vector>

#include "../math/lanes.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

// Rows or ranks that are computed together, so that what is loaded is used several times.
constexpr int kTogether = 4;

// Dot products of `rows` rows of x (…, K), `stride` apart, with `ranks` rows of w (R, K), times scale → u (rows, R).
template <int rows, int ranks, typename T>
INLINE void Dots(int64_t K, int64_t stride, int64_t R, float scale, const T* x, const float* w, float* u) {
  const int64_t whole = K / kLanes * kLanes;
  Lanes sums[rows][ranks] = {};
  for (int64_t k = 0; k < whole; k += kLanes) {
    Lanes weights[ranks];
#pragma GCC unroll 4
    for (int r = 0; r < ranks; r++) weights[r] = LoadLanes(w + r * K + k);
#pragma GCC unroll 4
    for (int n = 0; n < rows; n++) {
      const Lanes row = LoadLanes(x + n * stride + k);
#pragma GCC unroll 4
      for (int r = 0; r < ranks; r++) sums[n][r] += weights[r] * row;
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < rows; n++)
#pragma GCC unroll 4
    for (int r = 0; r < ranks; r++) {
      float sum = SumOf(sums[n][r]);
      for (int64_t k = whole; k < K; k++) sum += Load(x + n * stride + k) * w[r * K + k];
      u[n * R + r] = scale * sum;
    }
}

// u (N, R) = scale · x (N, K) · wᵀ, w (R, K).
template <typename T>
VARIANTS void Project(int64_t N, int64_t K, int64_t stride, int64_t R, float scale, const T* x, const float* w,
                      float* u) {
  int64_t n = 0;
  for (; n + kTogether <= N; n += kTogether) {
    int64_t r = 0;
    for (; r + kTogether <= R; r += kTogether)
      Dots<kTogether, kTogether>(K, stride, R, scale, x + n * stride, w + r * K, u + n * R + r);
    for (; r < R; r++) Dots<kTogether, 1>(K, stride, R, scale, x + n * stride, w + r * K, u + n * R + r);
  }
  for (; n < N; n++)
    for (int64_t r = 0; r < R; r++) Dots<1, 1>(K, stride, R, scale, x + n * stride, w + r * K, u + n * R + r);
}

// `rows` rows of y, `stride` apart, += scale · u (rows, R) · w (R, C).
template <int rows, typename T>
INLINE void ExpandRows(int64_t C, int64_t stride, int64_t R, float scale, const float* u, const float* w, T* y) {
  const int64_t whole = C / kLanes * kLanes;
  for (int64_t c = 0; c < whole; c += kLanes) {
    Lanes sums[rows] = {};
    for (int64_t r = 0; r < R; r++) {
      const Lanes weights = LoadLanes(w + r * C + c);
#pragma GCC unroll 4
      for (int n = 0; n < rows; n++) sums[n] += weights * u[n * R + r];
    }
#pragma GCC unroll 4
    for (int n = 0; n < rows; n++) StoreLanes(y + n * stride + c, LoadLanes(y + n * stride + c) + sums[n] * scale);
  }
  for (int n = 0; n < rows; n++)
    for (int64_t c = whole; c < C; c++) {
      float sum = 0;
      for (int64_t r = 0; r < R; r++) sum += u[n * R + r] * w[r * C + c];
      Store(y + n * stride + c, Load(y + n * stride + c) + scale * sum);
    }
}

template <typename T>
VARIANTS void Expand(int64_t N, int64_t C, int64_t stride, int64_t R, float scale, const float* u, const float* w,
                     T* y) {
  int64_t n = 0;
  for (; n + kTogether <= N; n += kTogether)
    ExpandRows<kTogether>(C, stride, R, scale, u + n * R, w, y + n * stride);
  for (; n < N; n++) ExpandRows<1>(C, stride, R, scale, u + n * R, w, y + n * stride);
}

// `ranks` rows of sums (R, C) = uᵀ · x, for `groups` of kLanes columns of x.
template <int ranks, int groups, typename T>
INLINE void SumLanes(int64_t N, int64_t C, int64_t stride, int64_t R, const float* u, const T* x, float* sums) {
  Lanes totals[ranks][groups] = {};
  for (int64_t n = 0; n < N; n++) {
    Lanes row[groups];
#pragma GCC unroll 4
    for (int g = 0; g < groups; g++) row[g] = LoadLanes(x + n * stride + g * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < ranks; r++)
#pragma GCC unroll 4
      for (int g = 0; g < groups; g++) totals[r][g] += row[g] * u[n * R + r];
  }
#pragma GCC unroll 8
  for (int r = 0; r < ranks; r++)
#pragma GCC unroll 4
    for (int g = 0; g < groups; g++) StoreLanes(sums + r * C + g * kLanes, totals[r][g]);
}

// Columns [first, last) of sums (R, C) = uᵀ · x, u (N, R), x (N, C) with rows `stride` apart.
template <typename T>
VARIANTS void SumRows(int64_t N, int64_t C, int64_t first, int64_t last, int64_t stride, int64_t R, const float* u,
                      const T* x, float* sums) {
  constexpr int kMost = 8, kGroups = 2;
  int64_t c = first;
  const auto sum = [&](auto groups) __attribute__((always_inline)) {
    int64_t r = 0;
    for (; r + kMost <= R; r += kMost) SumLanes<kMost, groups()>(N, C, stride, R, u + r, x + c, sums + r * C + c);
    for (; r < R; r++) SumLanes<1, groups()>(N, C, stride, R, u + r, x + c, sums + r * C + c);
    c += groups() * kLanes;
  };
  while (c + kGroups * kLanes <= last) sum(std::integral_constant<int, kGroups>());
  while (c + kLanes <= last) sum(std::integral_constant<int, 1>());
  for (; c < last; c++)
    for (int64_t r = 0; r < R; r++) {
      float sum = 0;
      for (int64_t n = 0; n < N; n++) sum += u[n * R + r] * Load(x + n * stride + c);
      sums[r * C + c] = sum;
    }
}

// The transpose of x (rows, columns).
std::vector<float> Transposed(int64_t rows, int64_t columns, const float* x) {
  std::vector<float> y(rows * columns);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) y[j * rows + i] = x[i * columns + j];
  return y;
}

// Shares columns among the threads: whole groups of lanes, so that every column is added up in the same way.
template <typename Body>
void ShareColumns(int64_t columns, int64_t cost, const Body& body) {
  const int64_t groups = (columns + kLanes - 1) / kLanes;
  ShareRows(groups, cost * kLanes, [&](int64_t first, int64_t last) {
    body(first * kLanes, last * kLanes < columns ? last * kLanes : columns);
  });
}

struct LowRankAttributes {
  float scaling = 1;
  int32_t start = 0;
  explicit LowRankAttributes(Construction& construction) {
    construction.read("scaling", &scaling);
    construction.read("start", &start);
  }
};

// The sizes of both operations, from y (or its gradient), x, A and B.
struct Sizes {
  int64_t N, K, M, R, columns;
  Sizes(Execution& run, int y, int x, int a, int b, int64_t start)
      : N(0), K(0), M(0), R(0), columns(0) {
    for (int i : {y, x, a, b}) run.expectRank(i, 2);
    if (!run.ok()) return;
    N = run.dimension(x, 0), K = run.dimension(x, 1), M = run.dimension(y, 1);
    R = run.dimension(a, 1), columns = run.dimension(b, 1);
    if (run.dimension(y, 0) != N || run.dimension(a, 0) != K || run.dimension(b, 0) != R)
      run.fail("the matrices, " + run.shapeText(a) + " and " + run.shapeText(b) + ", do not fit " + run.shapeText(x));
    if (start < 0 || start + columns > M) run.fail("the adapted columns are not within " + run.shapeText(y));
  }
};

template <typename T>
void ComputeLowRank(Execution& run, const LowRankAttributes& attributes) {
  const Sizes sizes(run, 0, 1, 2, 3, attributes.start);
  const int64_t N = sizes.N, K = sizes.K, M = sizes.M, R = sizes.R, columns = sizes.columns;
  T* sum = run.outputOver<T>(0, 0);
  float* u = run.output(1, {N, R});
  if (!run.ok()) return;
  const T *y = run.input<T>(0), *x = run.input<T>(1);
  if (sum != y) std::memcpy(static_cast<void*>(sum), y, N * M * sizeof(T));
  const std::vector<float> a = Transposed(K, R, run.input(2));
  const float* b = run.input(3);
  ShareRows(N, (K + columns) * R / kLanes + 1, [&](int64_t first, int64_t last) {
    Project(last - first, K, K, R, 1.0f, x + first * K, a.data(), u + first * R);
    Expand(last - first, columns, M, R, attributes.scaling, u + first * R, b, sum + first * M + attributes.start);
  });
}

template <typename T>
void ComputeLowRankGrad(Execution& run, const LowRankAttributes& attributes) {
  const Sizes sizes(run, 1, 2, 4, 5, attributes.start);
  const int64_t N = sizes.N, K = sizes.K, M = sizes.M, R = sizes.R, columns = sizes.columns;
  run.expectSize(0, N * K);
  run.expectSize(3, N * R);
  T* sum = run.outputOver<T>(0, 0);
  float* da = run.outputLike(1, 4);
  float* db = run.outputLike(2, 5);
  if (!run.ok()) return;
  const T *dx = run.input<T>(0), *x = run.input<T>(2), *dy = run.input<T>(1) + attributes.start;
  const float *u = run.input(3), *b = run.input(5);
  if (sum != dx) std::memcpy(static_cast<void*>(sum), dx, N * K * sizeof(T));
  const std::vector<float> a = Transposed(K, R, run.input(4));
  std::vector<float> du(N * R), scaled(N * R), sums(K * R);
  for (int64_t i = 0; i < N * R; i++) scaled[i] = attributes.scaling * u[i];
  ShareRows(N, (K + columns) * R / kLanes + 1, [&](int64_t first, int64_t last) {
    Project(last - first, columns, M, R, attributes.scaling, dy + first * M, b, du.data() + first * R);
    Expand(last - first, K, K, R, 1.0f, du.data() + first * R, a.data(), sum + first * K);
  });
  const int64_t cost = N * R / kLanes + 1;
  ShareColumns(columns, cost, [&](int64_t first, int64_t last) {
    SumRows(N, columns, first, last, M, R, scaled.data(), dy, db);
  });
  ShareColumns(K, cost, [&](int64_t first, int64_t last) {
    SumRows(N, K, first, last, K, R, du.data(), x, sums.data());
  });
  for (int64_t k = 0; k < K; k++)
    for (int64_t r = 0; r < R; r++) da[k * R + r] = sums[r * K + k];
}

// (N, M), (N, R)
void LowRankShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapesOfInputs(context, status, 1);
  ShapeAlong(context, status, 1, {{1, 0}, {2, 1}});
}
// (N, K), (K, R), (R, columns)
void LowRankGradShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapesOfInputs(context, status, 1);
  ShapeAlong(context, status, 1, {{4, 0}, {4, 1}});
  ShapeAlong(context, status, 2, {{5, 0}, {5, 1}});
}

const Registration lowRank = Operation("ClmLowRank", {"y: T", "x: T", "a: float", "b: float"}, {"sum: T", "u: float"})
                                 .attribute("scaling: float")
                                 .attribute("start: int")
                                 .shapes(LowRankShapes)
                                 .kernels<ComputeLowRank<float>, ComputeLowRank<Bfloat16>>();
const Registration lowRankGrad =
    Operation("ClmLowRankGrad", {"dx: T", "dy: T", "x: T", "u: float", "a: float", "b: float"},
              {"sum: T", "da: float", "db: float"})
        .attribute("scaling: float")
        .attribute("start: int")
        .shapes(LowRankGradShapes)
        .kernels<ComputeLowRankGrad<float>, ComputeLowRankGrad<Bfloat16>>();

}  // namespace
