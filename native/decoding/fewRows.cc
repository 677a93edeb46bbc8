// Products of a few rows. See fewRows.h.
#include "fewRows.h"

#include <algorithm>
#include <cstring>

#include "../math/lanes.h"

namespace {

// The threads share a product from this much work on: number of weights, or an eighth of the multiplications.
constexpr int64_t kShared = 1 << 15;

// A chunk is read as so many runs of rows beside each other: as many as a core prefetches well. With the rows that
// follow each other instead, every run ends after one of them; float32 then takes 4 % longer and bfloat16 24 %.
constexpr int kRuns = 8;

// Of each run so many bytes are prefetched, into the first cache, because the processor's own prefetching ends with
// every page: that takes 6 % off.
constexpr int64_t kAheadBytes = 1024;

// Columns whose sums stay in the first cache, of all rows together.
constexpr int64_t kNearNumbers = 8192;

// 32 numbers of a row, in the order in which it is cheapest to convert them: float32 as they are, of bfloat16 first the
// even ones, then the odd ones.
struct Pair {
  Lanes first, second;
};
INLINE Pair LoadPair(const float* w) { return {LoadLanes(w), LoadLanes(w + kLanes)}; }
INLINE Pair LoadPair(const Bfloat16* w) {
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  Words words;
  std::memcpy(&words, w, sizeof words);
  return {reinterpret_cast<Lanes>(words << 16), reinterpret_cast<Lanes>(words & 0xffff0000u)};
}
INLINE void StorePair(float* sums, const Pair& pair) {
  StoreLanes(sums, pair.first);
  StoreLanes(sums + kLanes, pair.second);
}

// Adds M rows of x, each of which a run has one number of, times a row of w from each run, to the sums of `count`
// columns. Runs are `run` rows apart. With the number of rows known to the compiler, x stays in registers: a row alone
// in bfloat16 takes 15 % less time.
template <int M, typename T>
INLINE void AddRuns(int64_t run, int64_t K, int64_t N, int64_t count, const float* x, const T* w, float* sums,
                    int64_t stride) {
  constexpr int64_t kAhead = kAheadBytes / sizeof(T), kLine = 64 / sizeof(T);
  for (int64_t n = 0; n < count; n += kTogether) {
    const int64_t ahead = n + kAhead < count ? kAhead : kAhead + N - count;
    Pair weights[kRuns];
#pragma GCC unroll 8
    for (int i = 0; i < kRuns; i++) {
      const T* from = w + i * run * N + n;
      for (int64_t line = 0; line < kTogether; line += kLine) __builtin_prefetch(from + ahead + line);
      weights[i] = LoadPair(from);
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      Pair sum = LoadPair(sums + m * stride + n);
#pragma GCC unroll 8
      for (int i = 0; i < kRuns; i++) {
        sum.first += weights[i].first * x[m * K + i * run];
        sum.second += weights[i].second * x[m * K + i * run];
      }
      StorePair(sums + m * stride + n, sum);
    }
  }
}

// The same for any number of rows, eight at a time.
template <typename T>
INLINE void AddRuns(int64_t M, int64_t run, int64_t K, int64_t N, int64_t count, const float* x, const T* w,
                    float* sums, int64_t stride) {
  for (; M >= 8; M -= 8, x += 8 * K, sums += 8 * stride) AddRuns<8>(run, K, N, count, x, w, sums, stride);
  switch (M) {
    case 1:
      return AddRuns<1>(run, K, N, count, x, w, sums, stride);
    case 2:
      return AddRuns<2>(run, K, N, count, x, w, sums, stride);
    case 3:
      return AddRuns<3>(run, K, N, count, x, w, sums, stride);
    case 4:
      return AddRuns<4>(run, K, N, count, x, w, sums, stride);
    case 5:
      return AddRuns<5>(run, K, N, count, x, w, sums, stride);
    case 6:
      return AddRuns<6>(run, K, N, count, x, w, sums, stride);
    case 7:
      return AddRuns<7>(run, K, N, count, x, w, sums, stride);
  }
}

// `count` columns of x (M rows of K numbers, of which `rows` are used) · w (rows, N), into rows of sums.
template <typename T>
VARIANTS void Columns(int64_t M, int64_t rows, int64_t K, int64_t N, int64_t count, const float* x, const T* w,
                      float* sums, int64_t stride) {
  const int64_t whole = count / kTogether * kTogether, run = rows / kRuns;
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < count; n++) sums[m * stride + n] = 0;
  for (int64_t k = 0; k < run; k++) AddRuns(M, run, K, N, whole, x + k, w + k * N, sums, stride);
  for (int64_t k = run * kRuns; k < rows; k++)
    for (int64_t m = 0; m < M; m++)
      for (int64_t n = 0; n < whole; n += kTogether) {
        Pair sum = LoadPair(sums + m * stride + n);
        const Pair weights = LoadPair(w + k * N + n);
        sum.first += weights.first * x[m * K + k];
        sum.second += weights.second * x[m * K + k];
        StorePair(sums + m * stride + n, sum);
      }
  for (int64_t k = 0; k < rows; k++)
    for (int64_t m = 0; m < M; m++)
      for (int64_t n = whole; n < count; n++) sums[m * stride + n] += x[m * K + k] * Load(w + k * N + n);
}

// The sums of `count` columns in the order of the weights; `from` as Columns leaves them.
INLINE void InOrder(const float*, const float* from, float* to) { std::memcpy(to, from, kTogether * sizeof(float)); }
INLINE void InOrder(const Bfloat16*, const float* from, float* to) {
  for (int i = 0; i < kLanes; i++) {
    to[2 * i] = from[i];
    to[2 * i + 1] = from[kLanes + i];
  }
}

// Adds up the sums of chunks that are `ofChunk` numbers apart, for `count` columns of a row.
template <typename T>
VARIANTS void AddUp(int64_t chunks, int64_t ofChunk, int64_t count, const float* sums, const float* bias, const T* w,
                    float* y) {
  const int64_t whole = count / kTogether * kTogether;
  for (int64_t n = 0; n < whole; n += kTogether) {
    Pair sum = LoadPair(sums + n);
    for (int64_t c = 1; c < chunks; c++) {
      const Pair more = LoadPair(sums + c * ofChunk + n);
      sum.first += more.first;
      sum.second += more.second;
    }
    float inPairs[kTogether];
    StorePair(inPairs, sum);
    InOrder(w, inPairs, y + n);
  }
  for (int64_t n = whole; n < count; n++) {
    y[n] = sums[n];
    for (int64_t c = 1; c < chunks; c++) y[n] += sums[c * ofChunk + n];
  }
  if (bias == nullptr) return;
  for (int64_t n = 0; n < count; n++) y[n] += bias[n];
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

// The order of sums depends on K and N alone: chunks. Ranges only divide columns.
ColumnsParts::ColumnsParts(int64_t M, int64_t K, int64_t N, int products) {
  constexpr int64_t kChunks = 4;
  chunks = K * N < kShared ? 1 : kChunks;
  chunk = (K + chunks * kRuns - 1) / (chunks * kRuns) * kRuns;
  chunks = (K + chunk - 1) / chunk;
  const bool isShared = K * N * (M < 8 ? 1 : M / 8) >= kShared;
  const int64_t enough = isShared ? (ThreadCount() + products * chunks - 1) / (products * chunks) : 1;
  range = (N + enough * kTogether - 1) / (enough * kTogether) * kTogether;
  ranges = (N + range - 1) / range;
  // Rows that are a multiple of 4,096 bytes apart would evict each other and the weights from the cache.
  const int64_t padded = (N + kTogether - 1) / kTogether * kTogether;
  stride = padded + ((padded + kTogether) % 1024 == 0 ? 2 : 1) * kTogether;
}

template <typename T>
void AddChunk(const ColumnsParts& parts, int64_t chunk, int64_t range, int64_t M, int64_t K, int64_t N, const float* x,
              const T* w, float* sums) {
  const int64_t k = chunk * parts.chunk, rows = std::min(parts.chunk, K - k);
  const int64_t first = range * parts.range, last = std::min(first + parts.range, N);
  const int64_t near = std::max(kNearNumbers / M / kTogether * kTogether, kTogether);
  for (int64_t n = first; n < last; n += near)
    Columns(M, rows, K, N, std::min(near, last - n), x + k, w + k * N + n, sums + n, parts.stride);
}

template <typename T>
void AddUpChunks(const ColumnsParts& parts, int64_t M, int64_t N, int64_t first, int64_t last, const float* sums,
                 const ColumnsProduct<T>& product) {
  const float* bias = product.bias == nullptr ? nullptr : product.bias + first;
  for (int64_t m = 0; m < M; m++)
    AddUp(parts.chunks, M * parts.stride, last - first, sums + m * parts.stride + first, bias, product.w,
          product.y + m * N + first);
}

template <typename T>
void MultiplyRows(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w, float* y) {
  Rows(M, K, N, first, last, x, w, y);
}

// Finely, so that other threads can help one that is held up.
int64_t RowsPart(int64_t M, int64_t K, int64_t N) {
  constexpr int64_t kRowsAtATime = 512;
  if (K * N * (M < 8 ? 1 : M / 8) < kShared) return N;
  const int64_t share = (N + ThreadCount() - 1) / ThreadCount();
  const int64_t parts = (share + kRowsAtATime - 1) / kRowsAtATime;
  return (share / parts + kTogether - 1) / kTogether * kTogether;
}

template void AddChunk(const ColumnsParts&, int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const float*,
                       float*);
template void AddChunk(const ColumnsParts&, int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const Bfloat16*,
                       float*);
template void AddUpChunks(const ColumnsParts&, int64_t, int64_t, int64_t, int64_t, const float*,
                          const ColumnsProduct<float>&);
template void AddUpChunks(const ColumnsParts&, int64_t, int64_t, int64_t, int64_t, const float*,
                          const ColumnsProduct<Bfloat16>&);
template void MultiplyRows(int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const float*, float*);
template void MultiplyRows(int64_t, int64_t, int64_t, int64_t, int64_t, const float*, const Bfloat16*, float*);
