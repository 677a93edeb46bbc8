// Small matrix products, exponentials and transposes on blocks that stay in the first-level cache, in vectors of W
// numbers. A sum is added up in the order of the terms, so that neither W nor the other rows change its order.
#pragma once

#include "vectors.h"

// GCC warns that passing such vectors depends on the target; all functions here are inlined, so none is passed.
#pragma GCC diagnostic ignored "-Wpsabi"

// A body compiled for each width of vectors that processors have: `template <int W> void run() const`, marked
// ALWAYS_INLINE, as all that it calls must be inlined.
#define ALWAYS_INLINE inline __attribute__((always_inline))
#if defined(HAS_VARIANTS)
template <typename Body>
__attribute__((target("arch=x86-64-v4,prefer-vector-width=512"))) void RunOnAvx512(const Body& body) {
  body.template run<16>();
}
template <typename Body>
__attribute__((target("arch=x86-64-v3"))) void RunOnAvx2(const Body& body) {
  body.template run<8>();
}
template <typename Body>
void OnWidestVectors(const Body& body) {
  static const int width = __builtin_cpu_supports("x86-64-v4") ? 16 : __builtin_cpu_supports("x86-64-v3") ? 8 : 4;
  if (width == 16) return RunOnAvx512(body);
  if (width == 8) return RunOnAvx2(body);
  body.template run<4>();
}
#else
template <typename Body>
void OnWidestVectors(const Body& body) {
#if defined(__AVX512F__)
  body.template run<16>();
#elif defined(__AVX2__)
  body.template run<8>();
#else
  body.template run<4>();
#endif
}
#endif

template <int W>
struct VectorOf {
  typedef float Floats __attribute__((vector_size(4 * W)));
  typedef int32_t Integers __attribute__((vector_size(4 * W)));
};
template <int W>
using Floats = typename VectorOf<W>::Floats;
template <int W>
using Integers = typename VectorOf<W>::Integers;

template <int W>
INLINE Floats<W> LoadFloats(const float* x) {
  Floats<W> vector;
  std::memcpy(&vector, x, sizeof vector);
  return vector;
}
template <int W>
INLINE void StoreFloats(float* x, Floats<W> vector) {
  std::memcpy(x, &vector, sizeof vector);
}

// R rows and C vectors of columns of c = a·b, or c += a·b. Sizes and strides as for MultiplyBlock.
template <int W, int R, int C, bool transposed, bool adds>
INLINE void MultiplyRegisters(int64_t K, const float* a, int64_t strideA, const float* b, int64_t strideB, float* c,
                              int64_t strideC) {
  Floats<W> sums[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 16
    for (int n = 0; n < C; n++) sums[r][n] = adds ? LoadFloats<W>(c + r * strideC + n * W) : Floats<W>{};
  for (int64_t k = 0; k < K; k++) {
    Floats<W> row[C];
#pragma GCC unroll 16
    for (int n = 0; n < C; n++) row[n] = LoadFloats<W>(b + n * W);
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      const float factor = transposed ? a[r] : a[r * strideA];
#pragma GCC unroll 16
      for (int n = 0; n < C; n++) sums[r][n] += factor * row[n];
    }
    a += transposed ? strideA : 1;
    b += strideB;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 16
    for (int n = 0; n < C; n++) StoreFloats<W>(c + r * strideC + n * W, sums[r][n]);
}

template <int W, int C, bool transposed, bool adds>
INLINE void MultiplyColumns(int64_t M, int64_t K, const float* a, int64_t strideA, const float* b, int64_t strideB,
                            float* c, int64_t strideC) {
#if defined(__aarch64__)
  constexpr int R = 8;
#else
  constexpr int R = W == 16 ? 8 : 4;  // with AVX-512 there are 32 registers, else 16
#endif
  int64_t m = 0;
  for (; m + R <= M; m += R)
    MultiplyRegisters<W, R, C, transposed, adds>(K, a + (transposed ? m : m * strideA), strideA, b, strideB,
                                                 c + m * strideC, strideC);
  if (R > 4 && m + 4 <= M) {
    MultiplyRegisters<W, 4, C, transposed, adds>(K, a + (transposed ? m : m * strideA), strideA, b, strideB,
                                                 c + m * strideC, strideC);
    m += 4;
  }
  for (; m < M; m++)
    MultiplyRegisters<W, 1, C, transposed, adds>(K, a + (transposed ? m : m * strideA), strideA, b, strideB,
                                                 c + m * strideC, strideC);
}

// c (M, N) = a (M, K) · b (K, N), or c += a·b. N is a multiple of 16; a is stored transposed if `transposed`.
template <int W, bool transposed, bool adds>
INLINE void MultiplyBlock(int64_t M, int64_t N, int64_t K, const float* a, int64_t strideA, const float* b,
                          int64_t strideB, float* c, int64_t strideC) {
  int64_t n = 0;
  for (; n + 2 * W <= N; n += 2 * W)
    MultiplyColumns<W, 2, transposed, adds>(M, K, a, strideA, b + n, strideB, c + n, strideC);
  for (; n < N; n += W) MultiplyColumns<W, 1, transposed, adds>(M, K, a, strideA, b + n, strideB, c + n, strideC);
}

// 2ˣ for x ≤ 127, with an error of at most 1 unit in the last place; 0 below 2⁻¹²⁶; NaN stays NaN. x is split into the
// nearest integer, which is added to the exponent's bits, and the rest.
template <int W>
INLINE Floats<W> PowerOf2(Floats<W> x) {
  const Floats<W> shift = Floats<W>{} + (12582912.0f + 127.0f);  // 1.5·2²³: the sum's last bit counts ones
  const Floats<W> shifted = x + shift, r = x - (shifted - shift);
  Floats<W> power = Floats<W>{} + 1.535336191e-4f;  // fitted for the least relative error, 2·10⁻⁹
  power = power * r + 1.339887441e-3f;
  power = power * r + 9.618437358e-3f;
  power = power * r + 5.550332471e-2f;
  power = power * r + 2.402264791e-1f;
  power = power * r + 6.931472029e-1f;
  power = power * r + 1.0f;
  power *= reinterpret_cast<Floats<W>>(reinterpret_cast<Integers<W>>(shifted) << 23);
  return x < -126.0f ? Floats<W>{} : power;
}

// Rows of 8 numbers exchanged with columns.
INLINE void Transpose8(const float* from, int64_t strideFrom, float factor, float* to, int64_t strideTo) {
  typedef Floats<8> Row;
  Row rows[8], pairs[8], fours[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) rows[i] = LoadFloats<8>(from + i * strideFrom) * factor;
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
      fours[i + 2 * j] = __builtin_shufflevector(pairs[i + j], pairs[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      fours[i + 2 * j + 1] = __builtin_shufflevector(pairs[i + j], pairs[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    StoreFloats<8>(to + i * strideTo, __builtin_shufflevector(fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    StoreFloats<8>(to + (i + 4) * strideTo,
                   __builtin_shufflevector(fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

// to (columns, rows) = factor · from (rows, columns)ᵀ; both sizes are multiples of 8.
INLINE void TransposeBlock(int64_t rows, int64_t columns, const float* from, int64_t strideFrom, float factor,
                           float* to, int64_t strideTo) {
  for (int64_t row = 0; row < rows; row += 8)
    for (int64_t column = 0; column < columns; column += 8)
      Transpose8(from + row * strideFrom + column, strideFrom, factor, to + column * strideTo + row, strideTo);
}
