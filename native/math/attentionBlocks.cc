// Attention of a block of queries, see attentionBlocks.h.
#include "attentionBlocks.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "blocks.h"

namespace {

constexpr int64_t kPanel = 32;  // queries for which hidden keys are left out together
constexpr float kLog2E = 1.44269504f;

// Keys [begin, end) of a block, relative to its first, that at least one query of a panel sees.
struct SeenKeys {
  int64_t begin, end;
  bool isWhole;  // every query of the panel sees all keys of the block
};

// For the panel of queries from `first`, and the block of keys from `key`.
INLINE SeenKeys KeysSeen(const AttentionHead& head, int64_t first, int64_t key) {
  const int64_t last = std::min(first + kPanel, head.T), keys = std::min(kBlock, head.T - key);
  int64_t least = 0, most = 0;
  if (head.starts != nullptr) {
    least = most = head.starts[first];
    for (int64_t t = first + 1; t < last; t++) {
      least = std::min<int64_t>(least, head.starts[t]);
      most = std::max<int64_t>(most, head.starts[t]);
    }
  }
  const int64_t begin = std::max<int64_t>(0, least - key), end = std::min(keys, last - key);
  return {begin, std::max(begin, end), most <= key && key + keys <= first + 1};
}

// The first block of keys that a block of queries sees.
INLINE int64_t FirstBlockSeen(const AttentionHead& head, int64_t first) {
  if (head.starts == nullptr) return 0;
  int64_t least = first;
  for (int64_t t = first; t < std::min(first + kBlock, head.T); t++) least = std::min<int64_t>(least, head.starts[t]);
  return least / kBlock * kBlock;
}

// Scores of keys that a query does not see become so low that their weights are 0: by 1e32 for each position after the
// query or before its start. (GCC 12 chooses between two vectors one number at a time, unless one of them is 0.)
template <int W>
INLINE void HideKeys(const AttentionHead& head, int64_t first, int64_t key, SeenKeys seen, float* scores) {
  float queries[kPanel], starts[kPanel] = {};
  for (int64_t i = 0; i < kPanel; i++) queries[i] = static_cast<float>(first + i);
  if (head.starts != nullptr)
    for (int64_t i = 0; i < kPanel && first + i < head.T; i++) starts[i] = static_cast<float>(head.starts[first + i]);
  for (int64_t column = 0; column < kPanel; column += W) {
    const Floats<W> query = LoadFloats<W>(queries + column), start = LoadFloats<W>(starts + column);
    for (int64_t row = seen.begin; row < seen.end; row++) {
      const Floats<W> place = Floats<W>{} + static_cast<float>(key + row), after = place - query,
                      before = start - place;
      const Floats<W> distance = (after < 0.0f ? Floats<W>{} : after) + (before < 0.0f ? Floats<W>{} : before);
      float* at = scores + row * kBlock + column;
      StoreFloats<W>(at, LoadFloats<W>(at) - distance * 1e32f);
    }
  }
}

// kept (rows of keys, columns of queries) = what each weight of the panel is multiplied by.
template <int W>
INLINE void KeptWeights(const AttentionHead& head, int64_t first, int64_t key, SeenKeys seen, float* kept) {
  const WeightDropout& dropout = *head.dropout;
  const int64_t begin = seen.begin / 4 * 4;
  const Integers<W> threshold = Integers<W>{} + dropout.threshold;
  for (int64_t column = 0; column < kPanel; column += W) {
    // Four consecutive numbers are computed at once; the first key of a query need not be at the beginning of four.
    Halves<W> even, odd;
    int64_t offsets[W], most = 0;
    for (int lane = 0; lane < W; lane++) {
      const uint64_t query = static_cast<uint64_t>(first + column + lane);
      const uint64_t place = head.firstWeight + query * static_cast<uint64_t>(head.T) + key + begin;
      (lane % 2 == 0 ? even : odd)[lane / 2] = place / 4;
      offsets[lane] = place % 4;
      most = std::max(most, offsets[lane]);
    }
    for (int64_t row = begin; row < seen.end + most; row += 4) {
      Integers<W> numbers[4];
      PhiloxNumbers<W>(dropout.seed, even, odd, numbers);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const Floats<W> factor = (numbers[i] & 0x7fffff) >= threshold ? Floats<W>{} + dropout.kept : Floats<W>{};
        StoreFloats<W>(kept + (row + i) * kBlock + column, factor);
      }
      even += 1, odd += 1;
    }
    if (most == 0) continue;
    for (int lane = 0; lane < W; lane++)
      for (int64_t row = seen.begin; row < seen.end; row++)
        kept[row * kBlock + column + lane] = kept[(row + offsets[lane]) * kBlock + column + lane];
  }
}

template <int W>
INLINE void Attend(const AttentionHead& head, int64_t first, AttentionScratch& s) {
  const int64_t D = head.D, P = head.P;
  TransposeBlock(kBlock, P, s.queries, P, kLog2E, s.queryColumns, kBlock);
  std::memset(s.outputColumns, 0, P * kBlock * sizeof(float));
  for (int64_t query = 0; query < kBlock; query++) s.largest[query] = -1e30f, s.sums[query] = 0;
  const int64_t firstKey = FirstBlockSeen(head, first);
  for (int64_t key = firstKey; key <= first; key += kBlock) {
    for (int64_t panel = 0; panel < kBlock && first + panel < head.T; panel += kPanel) {
      const SeenKeys seen = KeysSeen(head, first + panel, key);
      const int64_t rows = seen.end - seen.begin;
      if (rows == 0) continue;
      float* scores = s.scores + seen.begin * kBlock + panel;
      MultiplyBlock<W, false, false>(rows, kPanel, D, head.keys + (key + seen.begin) * D, D, s.queryColumns + panel,
                                     kBlock, scores, kBlock);
      if (!seen.isWhole) HideKeys<W>(head, first + panel, key, seen, s.scores + panel);
      for (int64_t column = panel; column < panel + kPanel; column += W) {
        float* at = s.scores + seen.begin * kBlock + column;
        const Floats<W> before = LoadFloats<W>(s.largest + column);
        Floats<W> largest = before, sum = {};
        for (int64_t row = 0; row < rows; row++) {
          const Floats<W> score = LoadFloats<W>(at + row * kBlock);
          largest = score > largest ? score : largest;
        }
        for (int64_t row = 0; row < rows; row++) {
          const Floats<W> weight = PowerOf2<W>(LoadFloats<W>(at + row * kBlock) - largest);
          StoreFloats<W>(at + row * kBlock, weight);
          sum += weight;
        }
        const Floats<W> factor = PowerOf2<W>(before - largest);
        StoreFloats<W>(s.sums + column, LoadFloats<W>(s.sums + column) * factor + sum);
        StoreFloats<W>(s.largest + column, largest);
        if (key == firstKey) continue;  // nothing has been added yet
        for (int64_t d = 0; d < D; d++) {
          float* output = s.outputColumns + d * kBlock + column;
          StoreFloats<W>(output, LoadFloats<W>(output) * factor);
        }
      }
      if (head.dropout != nullptr) {
        KeptWeights<W>(head, first + panel, key, seen, s.kept + panel);
        for (int64_t row = seen.begin; row < seen.end; row++)
          for (int64_t column = panel; column < panel + kPanel; column++)
            s.scores[row * kBlock + column] *= s.kept[row * kBlock + column];
      }
      MultiplyBlock<W, true, true>(D, kPanel, rows, head.values + (key + seen.begin) * D, D, scores, kBlock,
                                   s.outputColumns + panel, kBlock);
    }
  }
  for (int64_t query = 0; query < kBlock; query++) {
    s.logSums[query] = s.largest[query] + std::log2(s.sums[query]);
    s.rescaled[query] = 1.0f / s.sums[query];
  }
  for (int64_t d = 0; d < D; d++)
    for (int64_t query = 0; query < kBlock; query++) s.outputColumns[d * kBlock + query] *= s.rescaled[query];
  TransposeBlock(P, kBlock, s.outputColumns, kBlock, 1.0f, s.outputs, P);
}

template <int W>
INLINE void AttendGrad(const AttentionHead& head, int64_t first, AttentionScratch& s, float* dKeys, float* dValues) {
  const int64_t D = head.D, P = head.P;
  TransposeBlock(kBlock, P, s.queries, P, kLog2E, s.queryColumns, kBlock);
  TransposeBlock(kBlock, P, s.dOutputs, P, 1.0f, s.dOutputColumns, kBlock);
  std::memset(s.outputColumns, 0, P * kBlock * sizeof(float));
  const int64_t panels = std::min(kBlock, (head.T - first + kPanel - 1) / kPanel * kPanel);
  for (int64_t key = FirstBlockSeen(head, first); key <= first; key += kBlock) {
    SeenKeys seenBy[kBlock / kPanel];
    for (int64_t panel = 0; panel < panels; panel += kPanel) {
      const SeenKeys seen = seenBy[panel / kPanel] = KeysSeen(head, first + panel, key);
      const int64_t rows = seen.end - seen.begin, begin = seen.begin * kBlock + panel;
      if (rows == 0) continue;
      const float *keys = head.keys + (key + seen.begin) * D, *values = head.values + (key + seen.begin) * D;
      MultiplyBlock<W, false, false>(rows, kPanel, D, keys, D, s.queryColumns + panel, kBlock, s.scores + begin,
                                     kBlock);
      MultiplyBlock<W, false, false>(rows, kPanel, D, values, D, s.dOutputColumns + panel, kBlock, s.dScores + begin,
                                     kBlock);
      if (!seen.isWhole) HideKeys<W>(head, first + panel, key, seen, s.scores + panel);
      if (head.dropout != nullptr) KeptWeights<W>(head, first + panel, key, seen, s.kept + panel);
      for (int64_t column = panel; column < panel + kPanel; column += W) {
        const Floats<W> logSum = LoadFloats<W>(s.logSums + column), delta = LoadFloats<W>(s.deltas + column);
        for (int64_t at = seen.begin * kBlock + column; at < seen.end * kBlock; at += kBlock) {
          const Floats<W> weight = PowerOf2<W>(LoadFloats<W>(s.scores + at) - logSum);
          const Floats<W> dWeight = LoadFloats<W>(s.dScores + at);
          if (head.dropout == nullptr) {
            StoreFloats<W>(s.scores + at, weight);
            StoreFloats<W>(s.dScores + at, weight * (dWeight - delta));
          } else {
            const Floats<W> kept = LoadFloats<W>(s.kept + at);
            StoreFloats<W>(s.scores + at, weight * kept);
            StoreFloats<W>(s.dScores + at, weight * (dWeight * kept - delta));
          }
        }
      }
      MultiplyBlock<W, true, true>(D, kPanel, rows, keys, D, s.dScores + begin, kBlock, s.outputColumns + panel,
                                   kBlock);
    }
    // Rows of keys that only some panels see: the queries of the others are left out, or their weights set to 0.
    for (int64_t row = 0; row < kBlock; row += kPanel) {
      const int64_t next = std::min(row + kPanel, head.T - key);
      int64_t begin = kBlock, end = 0;
      for (int64_t panel = 0; panel < panels; panel += kPanel) {
        const SeenKeys& seen = seenBy[panel / kPanel];
        if (seen.begin >= next || seen.end <= row) continue;
        begin = std::min(begin, panel);
        end = panel + kPanel;
      }
      if (begin >= end) continue;
      for (int64_t panel = begin; panel < end; panel += kPanel) {
        const SeenKeys& seen = seenBy[panel / kPanel];
        for (int64_t hidden = row; hidden < next; hidden++) {
          if (hidden >= seen.begin && hidden < seen.end) continue;
          std::memset(s.scores + hidden * kBlock + panel, 0, kPanel * sizeof(float));
          std::memset(s.dScores + hidden * kBlock + panel, 0, kPanel * sizeof(float));
        }
      }
      const int64_t at = row * kBlock + begin;
      MultiplyBlock<W, false, true>(next - row, P, end - begin, s.scores + at, kBlock, s.dOutputs + begin * P, P,
                                    dValues + (key + row) * P, P);
      MultiplyBlock<W, false, true>(next - row, P, end - begin, s.dScores + at, kBlock, s.queries + begin * P, P,
                                    dKeys + (key + row) * P, P);
    }
  }
  TransposeBlock(P, kBlock, s.outputColumns, kBlock, head.scale, s.outputs, P);
}

struct Forward {
  const AttentionHead& head;
  int64_t first;
  AttentionScratch& scratch;
  template <int W>
  ALWAYS_INLINE void run() const {
    Attend<W>(head, first, scratch);
  }
};

struct Backward {
  const AttentionHead& head;
  int64_t first;
  AttentionScratch& scratch;
  float *dKeys, *dValues;
  template <int W>
  ALWAYS_INLINE void run() const {
    AttendGrad<W>(head, first, scratch, dKeys, dValues);
  }
};

}  // namespace

AttentionScratch::AttentionScratch(int64_t P) : P(P), numbers(kBlock * (6 * P + 3 * kBlock + 8 + 5)) {
  float* next = numbers.data();
  for (float** part : {&queries, &dOutputs, &queryColumns, &dOutputColumns, &outputColumns, &outputs})
    *part = next, next += kBlock * P;
  for (float** part : {&scores, &dScores}) *part = next, next += kBlock * kBlock;
  for (float** part : {&largest, &sums, &rescaled, &logSums, &deltas}) *part = next, next += kBlock;
  kept = next;
}

AttentionScratch& ScratchOfThread(int64_t P) {
  static thread_local std::unique_ptr<AttentionScratch> scratch;
  if (scratch == nullptr || scratch->P != P) scratch = std::make_unique<AttentionScratch>(P);
  return *scratch;
}

void AttendBlock(const AttentionHead& head, int64_t first, AttentionScratch& scratch) {
  OnWidestVectors(Forward{head, first, scratch});
}

void AttendBlockGrad(const AttentionHead& head, int64_t first, AttentionScratch& scratch, float* dKeys,
                     float* dValues) {
  OnWidestVectors(Backward{head, first, scratch, dKeys, dValues});
}
