// Products of a few rows with a matrix of float32 or bfloat16 weights: most of the time of sampling a token. They are
// bound by reading the weights, so every weight is read once, in order, by all cores, and used for all rows. Numbers
// are added up in float32 in an order that depends neither on the number of rows nor on the threads: a row gives the
// same bits alone and in a batch.
//
// M rows · K inputs · N outputs; T is float or Bfloat16
#pragma once

#include <cstdint>

#include "../math/vectors.h"

// Columns [first, last) of y (M, N) = x (M, K) · w (K, N) + bias (N numbers or null).
template <typename T>
void MultiplyColumns(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w,
                     const float* bias, float* y);

// Columns [first, last) of y (M, N) = x (M, K) · wᵀ with w (N, K).
template <typename T>
void MultiplyRows(int64_t M, int64_t K, int64_t N, int64_t first, int64_t last, const float* x, const T* w, float* y);

// How many outputs a thread computes at a time: all N if the product is too small to be shared.
int64_t FewRowsPart(int64_t M, int64_t K, int64_t N, bool transposed);
