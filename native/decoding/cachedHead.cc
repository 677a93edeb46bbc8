// See cachedHead.h.
#include "cachedHead.h"

#include <algorithm>
#include <cmath>

#include "../math/lanes.h"
#include "../parallel.h"

namespace {

// Positions that a thread attends to at a time. Blocks are put together as in flash decoding: each has its own largest
// score, its own sum of exponentials and its own weighted sum of values.
constexpr int64_t kBlock = 512;

// Positions whose keys or values stay in the first cache while all queries of the head are done.
constexpr int64_t kNear = 16;

// Positions whose scores are computed, or lanes of a head whose sums are kept, at the same time.
constexpr int kAtOnce = 4;

// The threads share attention that reads at least this many numbers of keys (and as many of values).
constexpr int64_t kShared = 1 << 14;

INLINE float Dot(int64_t D, const float* a, const float* b) {
  const int64_t whole = D / kLanes * kLanes;
  Lanes sums = {};
  for (int64_t d = 0; d < whole; d += kLanes) sums += LoadLanes(a + d) * LoadLanes(b + d);
  float sum = SumOf(sums);
  for (int64_t d = whole; d < D; d++) sum += a[d] * b[d];
  return sum;
}

// y (D) = x, divided by its root mean square and multiplied by the gain; then pairs (d, d + D/2) are turned.
VARIANTS void Place(int64_t D, const float* gain, float epsilon, const Angles& angles, const float* x,
                    float* __restrict normalised, float* __restrict y) {
  const float scale = gain == nullptr ? 1.0f : 1.0f / std::sqrt(Dot(D, x, x) / static_cast<float>(D) + epsilon);
  for (int64_t d = 0; d < D; d++) normalised[d] = gain == nullptr ? x[d] : x[d] * scale * gain[d];
  if (angles.cosines == nullptr) {
    for (int64_t d = 0; d < D; d++) y[d] = normalised[d];
    return;
  }
  const int64_t half = D / 2;
  const float *cosines = angles.cosines, *sines = angles.signedSines;
  for (int64_t d = 0; d < half; d++) y[d] = normalised[d] * cosines[d] + normalised[half + d] * sines[d];
  for (int64_t d = half; d < D; d++) y[d] = normalised[d] * cosines[d] + normalised[d - half] * sines[d];
}

// The processor's own prefetching ends with every page.
INLINE void PrefetchNear(int64_t D, const float* rows) {
  for (int64_t i = 0; i < kNear * D; i += 64 / sizeof(float)) __builtin_prefetch(rows + i);
}

// Scores of one query and `count` keys.
INLINE void Scores(int64_t count, int64_t D, const float* query, const float* keys, float* scores) {
  const int64_t whole = D / kLanes * kLanes;
  int64_t s = 0;
  for (; s + kAtOnce <= count; s += kAtOnce) {
    Lanes sums[kAtOnce] = {};
    for (int64_t d = 0; d < whole; d += kLanes)
#pragma GCC unroll 4
      for (int i = 0; i < kAtOnce; i++) sums[i] += LoadLanes(query + d) * LoadLanes(keys + (s + i) * D + d);
    const Quarter four = SumsOf(sums);
    std::memcpy(scores + s, &four, sizeof four);
    for (int64_t d = whole; d < D; d++)
      for (int i = 0; i < kAtOnce; i++) scores[s + i] += query[d] * keys[(s + i) * D + d];
  }
  for (; s < count; s++) scores[s] = Dot(D, query, keys + s * D);
}

// Adds the weighted values of `count` positions to `count` lanes of a head, in registers.
template <int lanes>
INLINE void AddLanes(int64_t count, int64_t D, const float* weights, const float* values, float* output) {
  Lanes sums[lanes];
#pragma GCC unroll 4
  for (int i = 0; i < lanes; i++) sums[i] = LoadLanes(output + i * kLanes);
  for (int64_t s = 0; s < count; s++)
#pragma GCC unroll 4
    for (int i = 0; i < lanes; i++) sums[i] += LoadLanes(values + s * D + i * kLanes) * weights[s];
#pragma GCC unroll 4
  for (int i = 0; i < lanes; i++) StoreLanes(output + i * kLanes, sums[i]);
}

INLINE void AddValues(int64_t count, int64_t D, const float* weights, const float* values, float* output) {
  const int64_t whole = D / kLanes * kLanes;
  int64_t d = 0;
  for (; d + kAtOnce * kLanes <= D; d += kAtOnce * kLanes)
    AddLanes<kAtOnce>(count, D, weights, values + d, output + d);
  for (; d < whole; d += kLanes) AddLanes<1>(count, D, weights, values + d, output + d);
  for (; d < D; d++)
    for (int64_t s = 0; s < count; s++) output[d] += weights[s] * values[s * D + d];
}

// What the queries (G, D) get from n positions, n ≤ kBlock: `outputs` (G, D), to be divided by `sums` (G).
VARIANTS void AttendBlock(int64_t G, int64_t D, int64_t n, const float* queries, const float* keys, const float* values,
                          float* weights, float* largest, float* sums, float* outputs) {
  for (int64_t s = 0; s < n; s += kNear) {
    PrefetchNear(D, keys + (s + kNear) * D);
    const int64_t count = n - s < kNear ? n - s : kNear;
    for (int64_t g = 0; g < G; g++) Scores(count, D, queries + g * D, keys + s * D, weights + g * kBlock + s);
  }
  PrefetchNear(D, values);
  for (int64_t g = 0; g < G; g++) {
    largest[g] = Largest(n, weights + g * kBlock);
    sums[g] = ExponentialsFrom(largest[g], n, weights + g * kBlock);
  }
  for (int64_t i = 0; i < G * D; i++) outputs[i] = 0;
  for (int64_t s = 0; s < n; s += kNear) {
    PrefetchNear(D, values + (s + kNear) * D);
    const int64_t count = n - s < kNear ? n - s : kNear;
    for (int64_t g = 0; g < G; g++) AddValues(count, D, weights + g * kBlock + s, values + s * D, outputs + g * D);
  }
}

// Of one query: the blocks' largest scores and sums are G numbers apart, their outputs G·D.
VARIANTS void Merge(int64_t blocks, int64_t G, int64_t D, const float* largest, const float* sums, const float* outputs,
                    float* __restrict output) {
  float most = largest[0], sum = 0;
  for (int64_t b = 1; b < blocks; b++) most = largest[b * G] > most ? largest[b * G] : most;
  for (int64_t d = 0; d < D; d++) output[d] = 0;
  for (int64_t b = 0; b < blocks; b++) {
    const float difference = largest[b * G] - most, factor = difference < -87.0f ? 0.0f : Exponential(difference);
    sum += factor * sums[b * G];
    for (int64_t d = 0; d < D; d++) output[d] += factor * outputs[b * G * D + d];
  }
  const float inverse = 1.0f / sum;
  for (int64_t d = 0; d < D; d++) output[d] *= inverse;
}

int64_t BlocksOf(const CachedHead& head) { return (head.n + kBlock - 1) / kBlock; }

// Block b of a head; the last one also puts the new position into the cache.
void ComputeBlock(const CachedHead& head, int64_t b, float* largest, float* sums, float* outputs) {
  const int64_t G = head.G, D = head.D, first = b * kBlock, n = std::min(kBlock, head.n - first);
  std::vector<float> buffer(G * (D + kBlock) + D);
  float *queries = buffer.data(), *weights = queries + G * D, *normalised = weights + G * kBlock;
  if (first + n == head.n) {
    Place(D, head.keyGain, head.epsilon, head.angles, head.key, normalised, head.keys + (head.n - 1) * D);
    std::copy_n(head.value, D, head.values + (head.n - 1) * D);
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(D));
  for (int64_t g = 0; g < G; g++)
    Place(D, head.queryGain, head.epsilon, head.angles, head.queries + g * D, normalised, queries + g * D);
  for (int64_t i = 0; i < G * D; i++) queries[i] *= scale;
  AttendBlock(G, D, n, queries, head.keys + first * D, head.values + first * D, weights, largest, sums, outputs);
}

}  // namespace

void AttendHeads(const std::vector<CachedHead>& heads) {
  const int64_t G = heads[0].G, D = heads[0].D;
  std::vector<std::pair<const CachedHead*, int64_t>> blocks;
  int64_t positions = 0;
  for (const CachedHead& head : heads) {
    for (int64_t b = 0; b < BlocksOf(head); b++) blocks.push_back({&head, b});
    positions += head.n;
  }
  const int64_t count = blocks.size();
  std::vector<float> results(count * G * (D + 2));
  float *largest = results.data(), *sums = largest + count * G, *outputs = sums + count * G;
  const auto compute = [&](int64_t i) {
    ComputeBlock(*blocks[i].first, blocks[i].second, largest + i * G, sums + i * G, outputs + i * G * D);
  };
  if (positions * G * D >= kShared)
    InParallel(count, compute);
  else
    for (int64_t i = 0; i < count; i++) compute(i);
  int64_t first = 0;
  for (const CachedHead& head : heads) {
    for (int64_t g = 0; g < G; g++)
      Merge(BlocksOf(head), G, D, largest + first * G + g, sums + first * G + g, outputs + (first * G + g) * D,
            head.output + g * D);
    first += BlocksOf(head);
  }
}
