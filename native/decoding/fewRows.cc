// Products of a few rows. See fewRows.h.
#include "fewRows.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "../math/lanes.h"
#include "../parallel.h"

namespace {

// The threads share a product from this much work on: number of weights, or an eighth of the multiplications.
constexpr int64_t kShared = 1 << 15;

// Rows of weights that one pass over the outputs reads: as many streams as a core prefetches well.
constexpr int kStreams = 8;

// The rows of the next pass are prefetched, into the second cache: the first does not hold as many beside the sums.
// That takes 4 to 6 % off a product of one row.
INLINE void PrefetchNext(const void* w) { __builtin_prefetch(w, 0, 2); }

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
    for (int i = 0; i < kStreams; i++) PrefetchNext(w + (kStreams + i) * N + n);
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
    case 1:
      return AddStreams<1>(K, N, count, x, w, sums, stride);
    case 2:
      return AddStreams<2>(K, N, count, x, w, sums, stride);
    case 3:
      return AddStreams<3>(K, N, count, x, w, sums, stride);
    case 4:
      return AddStreams<4>(K, N, count, x, w, sums, stride);
    case 5:
      return AddStreams<5>(K, N, count, x, w, sums, stride);
    case 6:
      return AddStreams<6>(K, N, count, x, w, sums, stride);
    case 7:
      return AddStreams<7>(K, N, count, x, w, sums, stride);
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

// The same for one row and bfloat16, of which 32 weights at a time are split into the even and the odd ones: half the
// instructions of keeping them in order, 10 % of the time. Each output is added up in the same order.
VARIANTS void ColumnsOfOne(int64_t K, int64_t N, int64_t count, const float* x, const Bfloat16* w, const float* bias,
                           float* sums, float* y) {
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  constexpr int64_t kTogether = 2 * kLanes;
  const int64_t whole = count / kTogether * kTogether;
  const auto placeOf = [](int64_t n) { return n / kTogether * kTogether + n % kTogether / 2 + n % 2 * kLanes; };
  for (int64_t n = 0; n < whole; n++) sums[placeOf(n)] = bias == nullptr ? 0.0f : bias[n];
  int64_t k = 0;
  for (; k + kStreams <= K; k += kStreams)
    for (int64_t n = 0; n < whole; n += kTogether) {
      Lanes even = LoadLanes(sums + n), odd = LoadLanes(sums + n + kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kStreams; i++) {
        const Bfloat16* from = w + (k + i) * N + n;
        PrefetchNext(from + kStreams * N);
        Words words;
        std::memcpy(&words, from, sizeof words);
        even += reinterpret_cast<Lanes>(words << 16) * x[k + i];
        odd += reinterpret_cast<Lanes>(words & 0xffff0000u) * x[k + i];
      }
      StoreLanes(sums + n, even);
      StoreLanes(sums + n + kLanes, odd);
    }
  for (; k < K; k++)
    for (int64_t n = 0; n < whole; n++) sums[placeOf(n)] += x[k] * Load(w + k * N + n);
  for (int64_t n = 0; n < whole; n++) y[n] = sums[placeOf(n)];
  for (int64_t n = whole; n < count; n++) {
    y[n] = bias == nullptr ? 0.0f : bias[n];
    for (int64_t i = 0; i < K; i++) y[n] += x[i] * Load(w + i * N + n);
  }
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

}  // namespace

// The columns are summed up in a buffer of their own: in most models the rows of y are a multiple of 4,096 bytes apart
// and would evict each other and the weights from the cache.
template <typename T>
void MultiplyColumns(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w,
                     const float* bias, float* y) {
  const int64_t count = last - first;
  const int64_t stride = count + ((count + kLanes) % 1024 == 0 ? 2 : 1) * kLanes;
  std::vector<float> sums(M * stride);
  if (bias != nullptr) bias += first;
  if constexpr (std::is_same_v<T, Bfloat16>)
    if (M == 1) return ColumnsOfOne(K, N, count, x, w + first, bias, sums.data(), y + first);
  Columns(M, K, N, count, x, w + first, bias, sums.data(), stride);
  for (int64_t m = 0; m < M; m++) std::memcpy(y + m * N + first, sums.data() + m * stride, count * sizeof(float));
}

template <typename T>
void MultiplyRows(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w, float* y) {
  Rows(M, K, N, first, last, x, w, y);
}

template void MultiplyColumns(int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const float*, const float*,
                              float*);
template void MultiplyColumns(int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const Bfloat16*, const float*,
                              float*);
template void MultiplyRows(int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const float*, float*);
template void MultiplyRows(int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const Bfloat16*, float*);

// Columns are divided by the number of threads, because long runs of a row are read fastest, and further until the sums
// fit into the first cache. Rows of weights are divided more finely, so that other threads can help one that is held
// up.
int64_t FewRowsPart(int64_t M, int64_t K, int64_t N, bool transposed) {
  constexpr int64_t kNearNumbers = 8192, kRowsAtATime = 512, kTogether = 2 * kLanes;
  if (K * N * (M < 8 ? 1 : M / 8) < kShared) return N;
  const int64_t share = (N + ThreadCount() - 1) / ThreadCount();
  const int64_t most = transposed ? kRowsAtATime : std::max(kNearNumbers / M, kTogether);
  const int64_t parts = (share + most - 1) / most;
  return (share / parts + kTogether - 1) / kTogether * kTogether;
}
