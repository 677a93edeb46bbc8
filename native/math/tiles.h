// Products of matrices on a processor's tile unit (Intel's AMX), which multiplies blocks of 16×32 and 32×16 bfloat16
// numbers into sums in float32, some sixteen times faster than vectors multiply float32.
#pragma once

#include <cstdint>

#include "vectors.h"

// Does this processor have such a unit, and does the system lend it to this process? Asks for it at the first call.
bool HasTiles();

// Rows of numbers, `stride` apart; the matrix meant is the transposed of what lies there where it is so marked.
template <typename T>
struct Matrix {
  const T* numbers;
  int64_t stride;
};

// c (M, N) = a (M, K) · b (K, N), rows of c `stride` numbers apart, on the calling thread, which must have the unit.
// Both transposed is not to be had, and K is not 0. An output in float32 has float32's accuracy (of inputs in float32),
// one in bfloat16 comes from inputs rounded to bfloat16 and sums in float32. What becomes of a row does not depend on
// the others.
template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void MultiplyTiles(int64_t M, int64_t N, int64_t K, Matrix<A> a, Matrix<B> b, C* c, int64_t stride);
