// Attention of one head, a block of queries at a time, without writing its scores down: forward with a running maximum
// and sum (Dao et al. 2022, https://arxiv.org/abs/2205.14135), backward from the scores computed again (Dao 2023,
// https://arxiv.org/abs/2307.08691). Blocks of keys that no query of the block sees are left out.
//
// Scores are kept with a row for each key and a column for each query: maxima and sums of a query then go down the
// columns, many at once, and neither keys nor values have to be transposed.
//
// T positions · D head size · P = D rounded up to a multiple of 16
#pragma once

#include <vector>

#include "philox.h"

constexpr int64_t kBlock = 64;  // queries or keys of a block

// Which weights are dropped: those whose random number, of 23 bits, is below `threshold`. The others are multiplied by
// `kept`.
struct WeightDropout {
  PhiloxSeed seed;
  uint32_t threshold;
  float kept;
};

// A query head with its key head.
struct AttentionHead {
  int64_t T, D, P;
  float scale;                   // of the scores
  const float *keys, *values;    // (T, D), keys rotated
  const int32_t* starts;         // (T) the first key that each query sees, or null: 0. The last one is the query's own.
  const WeightDropout* dropout;  // or null
  uint64_t firstWeight;          // the place of the weight of query 0 and key 0 among the random numbers
};

// What a thread computes a block of queries in.
struct AttentionScratch {
  explicit AttentionScratch(int64_t P);
  const int64_t P;
  std::vector<float> numbers;
  float *queries, *dOutputs;                            // (64, P)
  float *queryColumns, *dOutputColumns;                 // (P, 64)
  float *outputColumns, *outputs;                       // (P, 64) and (64, P), or of the gradient by the queries
  float *scores, *dScores;                              // (64 keys, 64 queries)
  float* kept;                                          // (72, 64) what each weight is multiplied by
  float *largest, *sums, *rescaled, *logSums, *deltas;  // (64) of each query
};

// That of the calling thread.
AttentionScratch& ScratchOfThread(int64_t P);

// scratch.outputs = attended values of the queries from `first`, whose vectors are in scratch.queries, multiplied by
// the scale, with zeros after the last one; scratch.logSums = log₂ Σ 2^scores, of scores to base 2.
void AttendBlock(const AttentionHead& head, int64_t first, AttentionScratch& scratch);

// The gradients by way of the queries from `first`: adds to dKeys and dValues (T, P), and leaves the gradient by the
// queries in scratch.outputs, all by turned queries and keys. Given are in scratch the queries as for AttendBlock, the
// gradient by their outputs, logSums (1e30 after the last query) and deltas = Σ dOutput∘output.
void AttendBlockGrad(const AttentionHead& head, int64_t first, AttentionScratch& scratch, float* dKeys, float* dValues);
