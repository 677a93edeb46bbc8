// Matrices of 8-bit weights, and products with them. The numbers that one output is a sum over are cut into blocks of
// 32, each with a scale: weight = scale · q with |q| ≤ 127. The rows they are multiplied with are quantised in the same
// way at run time, so that a block is a sum of products of integers, which is exact.
//
// A packed matrix of N outputs and K inputs has 16 outputs after each other in a group (the last may have fewer): first
// all its blocks, then their scales in bfloat16. In a block 4 inputs of an output follow each other, then those of the
// next output: what a processor with VNNI multiplies with one instruction. q is stored as q + 128, because one of the
// two factors of that instruction has no sign.
//
// M rows · K inputs · N outputs · B = ⌈K/32⌉ blocks
#pragma once

#include <cstdint>
#include <vector>

#include "../math/vectors.h"

constexpr int kBlock = 32;           // inputs of a block
constexpr int kGroup = 16;           // outputs of a group
constexpr int kBlockBytes = 34;      // of an output: a block and its scale
constexpr int kAdjacent = 4;         // inputs of an output beside each other
constexpr int64_t kRowsAtOnce = 64;  // whose sums stay in the first cache

constexpr int64_t BlockCount(int64_t K) { return (K + kBlock - 1) / kBlock; }

// Packs w (K, N), or (N, K) if transposed, into N · B · 34 bytes; the threads share the groups.
void PackInt8(bool transposed, int64_t K, int64_t N, const float* w, uint8_t* packed);

// One output's weights in float32: y (B · 32).
void UnpackInt8(int64_t B, int64_t N, int64_t output, const uint8_t* packed, float* y);

// Rows x (M, K) as a product reads them: block by block, in each the rows.
class Int8Rows {
 public:
  Int8Rows(int64_t M, int64_t K, const float* x);

  const int64_t M, B;
  std::vector<int8_t> numbers;   // (B, M, 32)
  std::vector<float> scales;     // (B, M)
  std::vector<int32_t> offsets;  // (B, M): −128 · Σ of a block, which takes the 128 off the weights
};

// Columns [first, last) of y (M, N) = x · w + bias (N numbers or null); first is a multiple of 16.
void MultiplyInt8(const Int8Rows& x, int64_t N, const uint8_t* packed, const float* bias, int64_t first, int64_t last,
                  float* y);

// How many outputs a thread computes at a time, a multiple of 16 or all N.
int64_t Int8Part(int64_t M, int64_t K, int64_t N);
