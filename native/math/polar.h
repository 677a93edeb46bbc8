// The orthogonal factor of a matrix by iterations, as Muon needs it.
#pragma once

#include <cstdint>

// A size of a matrix, rounded up to whole vectors: what is beyond the matrix is 0.
inline int64_t PolarSize(int64_t size) { return (size + 15) / 16 * 16; }

// Numbers of `work` for a matrix of these sizes.
int64_t PolarWork(int64_t rows, int64_t columns);

// U·Vᵀ of the singular value decomposition U·Σ·Vᵀ of x (rows, columns), roughly: each singular value σ, divided by a
// bound of the largest one, becomes pₙ(… p₁(σ)) with the odd polynomials pᵢ(σ) = aᵢσ + bᵢσ³ + cᵢσ⁵.
//
// @param onTiles if the processor has a tile unit: numbers are rounded to bfloat16 for the products of large matrices
// @param x of padded sizes, is overwritten @param coefficients (iterations, 3)
// @returns the result, like x, within `work` or in place of x
float* PolarFactor(int64_t rows, int64_t columns, bool onTiles, int64_t iterations, const float* coefficients, float* x,
                   float* work);
