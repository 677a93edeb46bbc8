// Products of a few rows with matrices of float32 or bfloat16 weights: most of the time of sampling a token. They are
// bound by reading the weights, so every weight is read once, in long runs, by all cores, and used for all rows.
// Numbers are added up in float32 in an order that depends neither on the number of rows nor on the threads: a row
// gives the same bits alone and in a batch.
//
// M rows · K inputs · N outputs; T is float or Bfloat16
#pragma once

#include <cstdint>
#include <memory>

#include "../math/vectors.h"
#include "../parallel.h"

// y (M, N) = x (M, K) · w (K, N) + bias (N numbers or null).
template <typename T>
struct ColumnsProduct {
  const T* w;
  const float* bias;
  float* y;
};

// How products with (K, N) matrices are divided: into chunks of K inputs whose sums are added up in the end, and among
// many threads also into ranges of columns. A part thereby reads memory from end to end.
struct ColumnsParts {
  ColumnsParts(int64_t M, int64_t K, int64_t N, int products);
  int64_t chunks, chunk, ranges, range;  // numbers and lengths
  int64_t stride;                        // of a row of sums
};

constexpr int64_t kTogether = 2 * kLanes;  // columns that are computed at a time
constexpr int64_t kSharedSums = 1 << 14;   // sums of chunks from which on the threads share adding them up

// The sums (M rows) of one chunk, for the columns of one range.
template <typename T>
void AddChunk(const ColumnsParts& parts, int64_t chunk, int64_t range, int64_t M, int64_t K, int64_t N, const float* x,
              const T* w, float* sums);

// Columns [first, last) of y from the sums of all chunks; `first` is a multiple of kTogether.
template <typename T>
void AddUpChunks(const ColumnsParts& parts, int64_t M, int64_t N, int64_t first, int64_t last, const float* sums,
                 const ColumnsProduct<T>& product);

// Products of the same rows with some matrices of equal sizes, by all threads; `finish(first, last)` is called for
// ranges of columns once all products are there.
template <typename T, typename Finish>
void MultiplyColumns(int64_t M, int64_t K, int64_t N, const float* x, int count, const ColumnsProduct<T>* products,
                     const Finish& finish) {
  const ColumnsParts parts(M, K, N, count);
  const int64_t ofChunk = M * parts.stride, ofProduct = parts.chunks * ofChunk;
  const std::unique_ptr<float[]> sums(new float[count * ofProduct]);
  InParallel(count * parts.chunks * parts.ranges, [&](int64_t part) {
    const int64_t range = part % parts.ranges, chunk = part / parts.ranges % parts.chunks;
    const int64_t product = part / parts.ranges / parts.chunks;
    float* own = sums.get() + product * ofProduct + chunk * ofChunk;
    AddChunk(parts, chunk, range, M, K, N, x, products[product].w, own);
  });
  const int64_t shares = count * ofProduct < kSharedSums ? 1 : ThreadCount();
  const int64_t share = (N + shares * kTogether - 1) / (shares * kTogether) * kTogether;
  InParallel((N + share - 1) / share, [&](int64_t part) {
    const int64_t first = part * share, last = first + share < N ? first + share : N;
    for (int i = 0; i < count; i++)
      AddUpChunks(parts, M, N, first, last, sums.get() + i * ofProduct, products[i]);
    finish(first, last);
  });
}

// Columns [first, last) of y (M, N) = x (M, K) · wᵀ with w (N, K).
template <typename T>
void MultiplyRows(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w, float* y);

// How many rows of w a thread multiplies with at a time: all N if the product is too small to be shared.
int64_t RowsPart(int64_t M, int64_t K, int64_t N);
