// Products of a few rows with a matrix of float32 or bfloat16 weights: most of the time of sampling a token. They are
// bound by reading the weights, so every weight is read once, in order, by all cores, and used for all rows. Numbers
// are added up in float32 in an order that depends neither on the number of rows nor on the threads: a row gives the
// same bits alone and in a batch.
//
// M rows · K inputs · N outputs; the bias is empty or of N numbers
#include <vector>

#include "../math/lanes.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

// The threads share a product from this much work on: number of weights, or an eighth of the multiplications.
constexpr int64_t kShared = 1 << 17;

// Rows of weights that one pass over the outputs reads: as many streams as a core prefetches well.
constexpr int kStreams = 8;

// Adds x (M, kStreams) · w (kStreams, count) to rows of sums; x has rows of K numbers, w of N. With the number of rows
// known to the compiler, x stays in registers: a row alone in bfloat16 takes 15 % less time.
template <int M, typename T>
INLINE void AddStreams(int64_t K, int64_t N, int64_t count, const float* x, const T* w, float* sums, int64_t stride) {
  constexpr int kLine = 64 / sizeof(T);  // numbers of a cache line
  const auto add = [&](int64_t n) __attribute__((always_inline)) {
    Lanes weights[kStreams];
#pragma GCC unroll 8
    for (int i = 0; i < kStreams; i++) weights[i] = LoadLanes(w + i * N + n);
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      Lanes sum = LoadLanes(sums + m * stride + n);
#pragma GCC unroll 8
      for (int i = 0; i < kStreams; i++) sum += weights[i] * x[m * K + i];
      StoreLanes(sums + m * stride + n, sum);
    }
  };
  int64_t n = 0;
  for (; n + kLine <= count; n += kLine) {
#pragma GCC unroll 8
    for (int i = 0; i < kStreams; i++) __builtin_prefetch(w + (kStreams + i) * N + n);
#pragma GCC unroll 2
    for (int lanes = 0; lanes < kLine; lanes += kLanes) add(n + lanes);
  }
  for (; n + kLanes <= count; n += kLanes) add(n);
}

// The same for any number of rows, eight at a time.
template <typename T>
INLINE void AddStreams(int64_t M, int64_t K, int64_t N, int64_t count, const float* x, const T* w, float* sums,
                       int64_t stride) {
  for (; M >= 8; M -= 8, x += 8 * K, sums += 8 * stride) AddStreams<8>(K, N, count, x, w, sums, stride);
  switch (M) {
    case 1: return AddStreams<1>(K, N, count, x, w, sums, stride);
    case 2: return AddStreams<2>(K, N, count, x, w, sums, stride);
    case 3: return AddStreams<3>(K, N, count, x, w, sums, stride);
    case 4: return AddStreams<4>(K, N, count, x, w, sums, stride);
    case 5: return AddStreams<5>(K, N, count, x, w, sums, stride);
    case 6: return AddStreams<6>(K, N, count, x, w, sums, stride);
    case 7: return AddStreams<7>(K, N, count, x, w, sums, stride);
  }
}

// The first `count` columns of x (M, K) · w (K, N) + bias (or null), into rows of `stride` numbers.
template <typename T>
VARIANTS void Columns(int64_t M, int64_t K, int64_t N, int64_t count, const float* x, const T* w, const float* bias,
                      float* sums, int64_t stride) {
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < count; n++) sums[m * stride + n] = bias == nullptr ? 0.0f : bias[n];
  int64_t k = 0;
  for (; k + kStreams <= K; k += kStreams) AddStreams(M, K, N, whole, x + k, w + k * N, sums, stride);
  for (; k < K; k++)
    for (int64_t m = 0; m < M; m++)
      for (int64_t n = 0; n < whole; n += kLanes)
        StoreLanes(sums + m * stride + n, LoadLanes(sums + m * stride + n) + LoadLanes(w + k * N + n) * x[m * K + k]);
  for (int64_t m = 0; m < M; m++)
    for (int64_t i = 0; i < K; i++)
      for (int64_t n = whole; n < count; n++) sums[m * stride + n] += x[m * K + i] * Load(w + i * N + n);
}

// Columns [first, last) of y (M, N) = x · w + bias. They are summed up in a buffer of its own: in most models the rows
// of y are a multiple of 4,096 bytes apart and would evict each other and the weights from the cache.
template <typename T>
void SumColumns(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w,
                const float* bias, float* y) {
  const int64_t count = last - first;
  const int64_t stride = count + ((count + kLanes) % 1024 == 0 ? 2 : 1) * kLanes;
  std::vector<float> sums(M * stride);
  Columns(M, K, N, count, x, w + first, bias == nullptr ? nullptr : bias + first, sums.data(), stride);
  for (int64_t m = 0; m < M; m++) std::memcpy(y + m * N + first, sums.data() + m * stride, count * sizeof(float));
}

// Dot products of M rows of x (M, K) with R rows of w (R, K), into y, whose rows are N numbers apart.
template <int M, int R, typename T>
INLINE void Dots(int64_t K, int64_t N, const float* x, const T* w, float* y) {
  const int64_t whole = K / kLanes * kLanes;
  Lanes sums[M][R] = {};
  for (int64_t k = 0; k < whole; k += kLanes) {
    Lanes weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      weights[r] = LoadLanes(w + r * K + k);
      __builtin_prefetch(w + (R + r) * K + k);
    }
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

// Columns [first, last) of y (M, N) = x (M, K) · wᵀ with w (N, K).
template <typename T>
VARIANTS void Rows(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w, float* y) {
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

// How many outputs a part has. Columns are divided by the number of threads, because long runs of a row are read
// fastest, and further until the sums fit into the first cache. Rows of weights are divided more finely, so that other
// threads can help one that is held up.
int64_t PartLength(int64_t M, int64_t N, bool transposed) {
  constexpr int64_t kNearNumbers = 8192, kRowsAtATime = 512;
  if (transposed) return kRowsAtATime;
  const int64_t share = (N + ThreadCount() - 1) / ThreadCount();
  const int64_t parts = (M * share + kNearNumbers - 1) / kNearNumbers;
  return (share / parts + kLanes) / kLanes * kLanes;
}

template <bool transposed, typename T>
void ComputeFewRows(Execution& run) {
  for (int i = 0; i < 2; i++) run.expectRank(i, 2);
  if (!run.ok()) return;
  const int64_t M = run.dimension(0, 0), K = run.dimension(0, 1), N = run.dimension(1, transposed ? 0 : 1);
  if (run.dimension(1, transposed ? 1 : 0) != K)
    run.fail("the weights, " + run.shapeText(1) + ", do not fit the rows, " + run.shapeText(0));
  const float* x = run.input(0);
  const T* w = run.input<T>(1);
  const bool isBiased = !transposed && run.size(2) > 0;
  if (isBiased) run.expectSize(2, N);
  const float* bias = isBiased ? run.input(2) : nullptr;
  float* y = run.output(0, {M, N});
  if (!run.ok()) return;
  const bool isShared = K * N * (M < 8 ? 1 : M / 8) >= kShared;
  const int64_t length = isShared ? PartLength(M, N, transposed) : N;
  InParallel((N + length - 1) / length, [&](int64_t part) {
    const int64_t first = part * length, last = first + length < N ? first + length : N;
    if (transposed)
      Rows(M, K, N, first, last, x, w, y);
    else
      SumColumns(M, K, N, first, last, x, w, bias, y);
  });
}

// (M, K) and (K, N), or (N, K) if transposed → (M, N)
template <bool transposed>
void FewRowsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {1, transposed ? 0 : 1}});
}

const Registration fewRows = Operation("ClmFewRows", {"x: float", "w: T", "bias: float"}, {"y: float"})
                                 .shapes(FewRowsShape<false>)
                                 .kernels<ComputeFewRows<false, float>, ComputeFewRows<false, Bfloat16>>();
const Registration fewRowsTransposed = Operation("ClmFewRowsTransposed", {"x: float", "w: T"}, {"y: float"})
                                           .shapes(FewRowsShape<true>)
                                           .kernels<ComputeFewRows<true, float>, ComputeFewRows<true, Bfloat16>>();

}  // namespace
