// Products of a few rows with a matrix of weights, float32 or bfloat16: what a token costs. They are bound by reading
// the weights, so every weight is read once, in order, by all cores, and used for all rows. Numbers are added up in
// float32 in an order that depends neither on the number of rows nor on the threads, so that a row gets the same bits
// alone and in a batch.
//
// M rows · K inputs · N outputs; a bias is N numbers, or none
#include <vector>

#include "../kernel.h"
#include "../math/lanes.h"
#include "../parallel.h"

namespace {

// Work from which on the threads share a product: weights, or an eighth of the multiplications.
constexpr int64_t kShared = 1 << 17;

// Rows of weights that one pass over the outputs takes in: as many streams as a core follows well.
constexpr int kStreams = 8;

// `count` columns of x (M, K) · w (K, N) + bias, from where w and bias (or null) point to, into rows of `stride`
// numbers.
template <typename T>
INLINE void ColumnsLoop(int64_t M, int64_t K, int64_t N, int64_t count, const float* x, const T* w, const float* bias,
                        float* sums, int64_t stride) {
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < count; n++) sums[m * stride + n] = bias == nullptr ? 0.0f : bias[n];
  int64_t k = 0;
  for (; k + kStreams <= K; k += kStreams)
    for (int64_t n = 0; n < whole; n += kLanes) {
      const T* from = w + k * N + n;
      Lanes weights[kStreams];
#pragma GCC unroll 8
      for (int i = 0; i < kStreams; i++) {
        weights[i] = LoadLanes(from + i * N);
        __builtin_prefetch(from + (kStreams + i) * N);
      }
      for (int64_t m = 0; m < M; m++) {
        Lanes sum = LoadLanes(sums + m * stride + n);
#pragma GCC unroll 8
        for (int i = 0; i < kStreams; i++) sum += weights[i] * x[m * K + k + i];
        StoreLanes(sums + m * stride + n, sum);
      }
    }
  for (; k < K; k++)
    for (int64_t m = 0; m < M; m++)
      for (int64_t n = 0; n < whole; n += kLanes)
        StoreLanes(sums + m * stride + n, LoadLanes(sums + m * stride + n) + LoadLanes(w + k * N + n) * x[m * K + k]);
  for (int64_t m = 0; m < M; m++)
    for (int64_t i = 0; i < K; i++)
      for (int64_t n = whole; n < count; n++) sums[m * stride + n] += x[m * K + i] * Load(w + i * N + n);
}
VARIANTS void Columns(int64_t M, int64_t K, int64_t N, int64_t count, const float* x, const float* w, const float* bias,
                      float* sums, int64_t stride) {
  ColumnsLoop(M, K, N, count, x, w, bias, sums, stride);
}
VARIANTS void Columns(int64_t M, int64_t K, int64_t N, int64_t count, const float* x, const Bfloat16* w,
                      const float* bias, float* sums, int64_t stride) {
  ColumnsLoop(M, K, N, count, x, w, bias, sums, stride);
}

// Outputs [first, last) of y (M, N). They are summed up apart: rows of y that lie a multiple of 4,096 bytes from each
// other, as of most models, would drive each other and the weights out of the cache.
template <typename T>
void SumColumns(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w,
                const float* bias, float* y) {
  const int64_t count = last - first;
  const int64_t stride = count + ((count + kLanes) % 1024 == 0 ? 2 : 1) * kLanes;
  std::vector<float> sums(M * stride);
  Columns(M, K, N, count, x, w + first, bias == nullptr ? nullptr : bias + first, sums.data(), stride);
  for (int64_t m = 0; m < M; m++) std::memcpy(y + m * N + first, sums.data() + m * stride, count * sizeof(float));
}

// R outputs of M rows: scalar products of rows of x (M, K) and w (R, K), into y of N columns.
template <int M, int R, typename T>
INLINE void Dots(int64_t K, int64_t N, const float* x, const T* w, float* y) {
  const int64_t whole = K / kLanes * kLanes;
  Lanes sums[M][R] = {};
  for (int64_t k = 0; k < whole; k += kLanes) {
    Lanes weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) weights[r] = LoadLanes(w + r * K + k);
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      const Lanes row = LoadLanes(x + m * K + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) sums[m][r] += weights[r] * row;
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      float sum = SumOf(sums[m][r]);
      for (int64_t k = whole; k < K; k++) sum += x[m * K + k] * Load(w + r * K + k);
      y[m * N + r] = sum;
    }
}

// Outputs [first, last) of y (M, N) = x (M, K) · wᵀ with w (N, K).
template <typename T>
INLINE void RowsLoop(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w,
                     float* y) {
  constexpr int kAtOnce = 4;
  int64_t n = first;
  for (; n + kAtOnce <= last; n += kAtOnce) {
    int64_t m = 0;
    for (; m + kAtOnce <= M; m += kAtOnce) Dots<kAtOnce, kAtOnce>(K, N, x + m * K, w + n * K, y + m * N + n);
    for (; m < M; m++) Dots<1, kAtOnce>(K, N, x + m * K, w + n * K, y + m * N + n);
  }
  for (; n < last; n++)
    for (int64_t m = 0; m < M; m++) Dots<1, 1>(K, N, x + m * K, w + n * K, y + m * N + n);
}
VARIANTS void Rows(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const float* w,
                   float* y) {
  RowsLoop(M, K, N, first, last, x, w, y);
}
VARIANTS void Rows(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const Bfloat16* w,
                   float* y) {
  RowsLoop(M, K, N, first, last, x, w, y);
}

// Outputs of a part. Columns are parted in as many as there are threads, because long runs of a row are read fastest,
// or so that the sums stay in the nearest cache; rows of weights more finely, so that a thread that is held up is
// helped.
int64_t PartOf(int64_t M, int64_t N, bool transposed) {
  constexpr int64_t kNearNumbers = 8192, kRowsAtATime = 512;
  if (transposed) return kRowsAtATime;
  const int64_t share = (N + ThreadCount() - 1) / ThreadCount();
  const int64_t parts = (M * share + kNearNumbers - 1) / kNearNumbers;
  return (share / parts + kLanes) / kLanes * kLanes;
}

template <bool transposed, typename T>
void FewRowsOf(Execution& run) {
  const int64_t M = run.dimension(0, 0), K = run.dimension(0, 1), N = run.dimension(1, transposed ? 0 : 1);
  if (run.dimension(1, transposed ? 1 : 0) != K) run.fail("clm: rows and weights of different widths");
  const float* x = run.input(0);
  const T* w = run.input<T>(1);
  const bool isBiased = !transposed && run.size(2) > 0;
  if (isBiased) run.expectSize(2, N);
  const float* bias = isBiased ? run.input(2) : nullptr;
  float* y = run.outputOf(0, {M, N});
  if (!run.ok()) return;
  const bool isShared = K * N * (M < 8 ? 1 : M / 8) >= kShared;
  const int64_t width = isShared ? PartOf(M, N, transposed) : N;
  InParallel((N + width - 1) / width, [&](int64_t part) {
    const int64_t first = part * width, last = first + width < N ? first + width : N;
    transposed ? Rows(M, K, N, first, last, x, w, y) : SumColumns(M, K, N, first, last, x, w, bias, y);
  });
}

template <bool transposed>
void ComputeFewRows(void*, TF_OpKernelContext* context) {
  Execution run(context);
  if (run.ok() && (run.rank(0) != 2 || run.rank(1) != 2)) run.fail("clm: rows and weights must be matrices");
  if (run.ok()) run.isHalf(1) ? FewRowsOf<transposed, Bfloat16>(run) : FewRowsOf<transposed, float>(run);
}

// (M, K) and (K, N), or (N, K) → (M, N)
template <bool transposed>
void FewRowsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {1, transposed ? 0 : 1}});
}

}  // namespace

void RegisterFewRows(TF_Status* status) {
  Register({"ClmFewRows",
            {"x: float", "w: T", "bias: float"},
            {"y: float"},
            {kProductType},
            FewRowsShape<false>,
            ComputeFewRows<false>},
           status);
  Register({"ClmFewRowsTransposed",
            {"x: float", "w: T"},
            {"y: float"},
            {kProductType},
            FewRowsShape<true>,
            ComputeFewRows<true>},
           status);
}
