// The orthogonal factor of a matrix, see polar.h. On vector instructions: since p(X) = X·q(XᵀX) for an odd polynomial
// p, the iterations are of R = XᵀX, the Gram matrix of the smaller side: R ← R·q(R)², Q ← Q·q(R), and the result is
// X·Q. These are polynomials of one symmetric matrix: they commute, so their products are symmetric and only half of
// each is computed.
#include "polar.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "blocks.h"
#include "tiles.h"

namespace {

// Rows and columns of the right factor that are copied together, to stay in the first-level cache.
constexpr int64_t kPanelRows = 256, kPanelColumns = 32;
constexpr float kSmallestBound = 1e-14f;  // a matrix of zeros must not divide by zero

// Columns of a symmetric product that the tile unit computes together.
constexpr int64_t kTileColumns = 128;
// The smaller side of a matrix from which on the tile unit pays: below, packing takes as long as multiplying.
constexpr int64_t kSmallestOnTiles = 192;

// Copies what is above the diagonal of c (M, M) below it.
INLINE void Mirror(int64_t M, float* c) {
  for (int64_t row = 0; row < M; row += 8)
    for (int64_t column = 0; column < row; column += 8)
      TransposeBlock(8, 8, c + column * M + row, M, 1, c + row * M + column, M);
}

// c (M, N) = a · b (K, N) with a (M, K), or stored (K, M) if `transposed`. If the result is symmetric, what is on and
// above the diagonal is computed and copied.
template <int W, bool transposed, bool isSymmetric>
INLINE void Product(int64_t M, int64_t N, int64_t K, const float* a, const float* b, float* c) {
  const int64_t strideA = transposed ? M : K;
  alignas(64) float panel[kPanelRows * kPanelColumns];
  for (int64_t n = 0; n < N; n += kPanelColumns) {
    const int64_t columns = std::min(kPanelColumns, N - n), rows = isSymmetric ? n + columns : M;
    for (int64_t k = 0; k < K; k += kPanelRows) {
      const int64_t depth = std::min(kPanelRows, K - k);
      for (int64_t i = 0; i < depth; i++)
        std::memcpy(panel + i * kPanelColumns, b + (k + i) * N + n, columns * sizeof(float));
      const float* left = a + (transposed ? k * strideA : k);
      if (k == 0)
        MultiplyBlock<W, transposed, false>(rows, columns, depth, left, strideA, panel, kPanelColumns, c + n, N);
      else
        MultiplyBlock<W, transposed, true>(rows, columns, depth, left, strideA, panel, kPanelColumns, c + n, N);
    }
  }
  if (isSymmetric) Mirror(M, c);
}

// A symmetric product c (M, M) = a · b (K, M) on the tile unit.
template <bool transposed>
INLINE void SymmetricOnTiles(int64_t M, int64_t K, const float* a, const float* b, float* c) {
  for (int64_t m = 0; m < M; m += kTileColumns) {
    const int64_t columns = std::min(kTileColumns, M - m);
    MultiplyRounded<transposed>(m + columns, columns, K, {a, transposed ? M : K}, {b + m, M}, c + m, M);
  }
  Mirror(M, c);
}

struct Polar {
  int64_t rows, columns, iterations;
  const float* coefficients;
  float *x, *work, **result;
  bool onTiles;

  template <int W>
  ALWAYS_INLINE void run() const {
    *result = onTiles ? factorOnTiles() : factor<W>();
  }

 private:
  template <int W>
  ALWAYS_INLINE float* factor() const {
    const int64_t m = PolarSize(std::min(rows, columns)), length = PolarSize(std::max(rows, columns)), square = m * m;
    const bool isWide = rows < columns;
    float *r = work, *s = r + square, *t = s + square, *q = t + square, *whole = q + square;
    if (isWide) TransposeBlock(m, length, x, length, 1, whole, m);
    const float* tall = isWide ? whole : x;
    Product<W, true, true>(m, m, length, tall, tall, r);
    const float bound = divideByBound(m, r);
    for (int64_t iteration = 0; iteration < iterations; iteration++) {
      Product<W, false, true>(m, m, m, r, r, s);
      addUp(coefficients + 3 * iteration, 1, m, r, s);
      if (iteration == 0) {
        std::memcpy(q, s, square * sizeof(float));
      } else {
        Product<W, false, true>(m, m, m, q, s, t);
        std::swap(q, t);
      }
      if (iteration == iterations - 1) break;
      Product<W, false, true>(m, m, m, r, s, t);
      Product<W, false, true>(m, m, m, t, s, r);
    }
    const float scale = 1 / std::sqrt(bound);
    for (int64_t i = 0; i < square; i++) q[i] *= scale;
    if (isWide)
      Product<W, false, false>(m, length, m, q, x, whole);
    else
      Product<W, false, false>(length, m, m, x, q, whole);
    return whole;
  }

  // X ← X·q(XᵀX), each time with a Gram matrix of its own: rounding makes some of its eigenvalues negative, and these
  // would grow without bound from one iteration of R to the next.
  ALWAYS_INLINE float* factorOnTiles() const {
    const int64_t m = PolarSize(std::min(rows, columns)), length = PolarSize(std::max(rows, columns)), square = m * m;
    const bool isWide = rows < columns;
    float *r = work, *s = r + square, *whole = work + 4 * square;
    if (isWide) TransposeBlock(m, length, x, length, 1, whole, m);
    float *from = isWide ? whole : x, *to = isWide ? x : whole;
    for (int64_t iteration = 0; iteration < iterations; iteration++) {
      SymmetricOnTiles<true>(m, length, from, from, r);
      const float scale = iteration == 0 ? 1 / std::sqrt(divideByBound(m, r)) : 1;
      SymmetricOnTiles<false>(m, m, r, r, s);
      addUp(coefficients + 3 * iteration, scale, m, r, s);
      MultiplyRounded<false>(length, m, m, {from, m}, {s, m}, to, m);
      std::swap(from, to);
    }
    if (isWide) TransposeBlock(length, m, from, m, 1, to, length);
    return isWide ? to : from;
  }

  // Divides r by a bound of its largest eigenvalue: the Frobenius norm, which is closer than the trace.
  INLINE float divideByBound(int64_t m, float* r) {
    float squares = 0;
    for (int64_t row = 0; row < m; row++) squares += SquaredNorm(m, r + row * m);
    const float bound = std::max(std::sqrt(squares), kSmallestBound);
    for (int64_t i = 0; i < m * m; i++) r[i] /= bound;
    return bound;
  }

  // s = factor · (a + b·r + c·s)
  INLINE void addUp(const float* abc, float factor, int64_t m, const float* r, float* s) {
    const float a = factor * abc[0], b = factor * abc[1], c = factor * abc[2];
    for (int64_t i = 0; i < m * m; i++) s[i] = b * r[i] + c * s[i];
    for (int64_t i = 0; i < m * m; i += m + 1) s[i] += a;
  }

  INLINE float SquaredNorm(int64_t n, const float* x) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < n; i += kLanes)
      for (int lane = 0; lane < kLanes; lane++) lanes[lane] += x[i + lane] * x[i + lane];
    return SumOfLanes(lanes);
  }
};

}  // namespace

int64_t PolarWork(int64_t rows, int64_t columns) {
  const int64_t m = PolarSize(std::min(rows, columns));
  return 4 * m * m + PolarSize(rows) * PolarSize(columns);
}

float* PolarFactor(int64_t rows, int64_t columns, bool onTiles, int64_t iterations, const float* coefficients, float* x,
                   float* work) {
  float* result = nullptr;
  const bool isLarge = std::min(rows, columns) >= kSmallestOnTiles;
  OnWidestVectors(Polar{rows, columns, iterations, coefficients, x, work, &result, onTiles && isLarge});
  return result;
}
