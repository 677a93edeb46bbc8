// Matrix products on a processor's tile unit (Intel AMX), which multiplies blocks of 16×32 and 32×16 bfloat16 numbers
// and adds them up in float32, some sixteen times as fast as vector instructions multiply float32.
#pragma once

#include <cstdint>

#include "vectors.h"

// Does this processor have a tile unit, and may this process use it? The first call asks the operating system.
bool HasTiles();

// Rows of numbers, `stride` numbers apart.
template <typename T>
struct Matrix {
  const T* numbers;
  int64_t stride;
};

// c (M, N) = a (M, K) · b (K, N), with rows of c `stride` numbers apart. a or b, not both, may be stored transposed. K
// must not be 0. Runs on the calling thread; HasTiles() must be true.
//
// A float32 output is as accurate as float32 vector arithmetic (its inputs are float32). A bfloat16 output is computed
// from inputs rounded to bfloat16, summed up in float32. A row of the result does not depend on the other rows.
template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void MultiplyTiles(int64_t M, int64_t N, int64_t K, Matrix<A> a, Matrix<B> b, C* c, int64_t stride);

// The same for float32 matrices whose numbers are rounded to bfloat16, at six times the speed; sums stay float32.
template <bool transposedA>
void MultiplyRounded(int64_t M, int64_t N, int64_t K, Matrix<float> a, Matrix<float> b, float* c, int64_t stride);
