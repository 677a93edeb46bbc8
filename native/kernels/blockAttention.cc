// Self-attention of any arrangement of heads whose memory grows with T, not with T²: see math/attentionBlocks.h. Keys
// that a query does not see, those after it and those before its document, cost nothing in whole blocks.
//
// B micro-batch size · T positions · K key/value heads · G queries of each · D head size
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "../math/attentionBlocks.h"
#include "../math/headRows.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

struct BlockAttentionAttributes {
  float rate = 0;  // of dropout
  explicit BlockAttentionAttributes(Construction& construction) { construction.read("rate", &rate); }
};
struct PromptAttributes {
  int32_t capacity = 0;  // of a slot of the cache, in positions
  explicit PromptAttributes(Construction& construction) { construction.read("capacity", &capacity); }
};

// Numbers between what belongs to neighbouring windows, key heads, queries of one, and positions.
struct Strides {
  int64_t window, head, group, position;
  int64_t at(int64_t b, int64_t k, int64_t g, int64_t t) const {
    return b * window + k * head + g * group + t * position;
  }
};

// Inputs of the operation. Queries, keys and values are either one projection (B, T, G + 2, K, D) in whose rows the
// queries, keys and values of all heads lie side by side, or (B, K, G·T, D) and twice (B, K, T, D).
enum Input { kQuery, kKey, kValue, kStarts, kCosines, kSines, kSeed, kAttended, kLogSums, kDAttended };
// Of a prompt: the cache, (rows, D) each, and in it the first row of the prompt's slot.
enum PromptInput { kCachedKeys = kSeed + 1, kCachedValues, kFirstRow };

template <typename T>
struct BlockAttention {
  int64_t B = 0, S = 0, K = 0, G = 0, D = 0, P = 0;  // S positions
  bool isProjection = false;
  Strides queryStrides{}, keyStrides{}, outputStrides{};
  int64_t keyOffset = 0, valueOffset = 0;  // in the projection
  const int32_t* starts = nullptr;         // (B, T)
  const float *cosines = nullptr, *sines = nullptr;
  bool isShared = true;  // one rotation (T, D) for all windows; otherwise (B, T, D)
  WeightDropout dropout{};
  bool isDropped = false;
  float *keys = nullptr, *values = nullptr;  // (B, K, capacity, D) float32, of which T are used; keys rotated
  int64_t capacity = 0;

  BlockAttention(Execution& run, float rate) {
    isProjection = run.rank(kQuery) == 5;
    for (int i : {kQuery, kKey, kValue})
      if (!isProjection) run.expectRank(i, 4);
    if (!run.ok()) return;
    B = run.dimension(kQuery, 0), K = run.dimension(kQuery, isProjection ? 3 : 1);
    D = run.dimension(kQuery, isProjection ? 4 : 3);
    S = isProjection ? run.dimension(kQuery, 1) : run.dimension(kKey, 2);
    G = isProjection ? run.dimension(kQuery, 2) - 2 : S == 0 ? 0 : run.dimension(kQuery, 2) / S;
    P = (D + 15) / 16 * 16;
    capacity = S;
    run.expectSize(kQuery, B * S * K * D * (isProjection ? G + 2 : G));
    for (int i : {kKey, kValue}) run.expectSize(i, isProjection ? 0 : B * K * S * D);
    if (isProjection) {
      const int64_t row = (G + 2) * K * D;
      queryStrides = {S * row, G * D, D, row}, keyStrides = {S * row, D, 0, row};
      outputStrides = {S * K * G * D, G * D, D, K * G * D};
      keyOffset = K * G * D, valueOffset = keyOffset + K * D;
    } else {
      queryStrides = outputStrides = {K * G * S * D, G * S * D, S * D, D}, keyStrides = {K * S * D, S * D, 0, D};
    }
    if (run.size(kStarts) > 0) run.expectSize(kStarts, B * S), starts = run.input<int32_t>(kStarts);
    if (run.size(kCosines) > 0) {
      isShared = run.size(kCosines) == S * D;
      if (D % 2 != 0) run.fail("an odd head size cannot be rotated");
      for (int i : {kCosines, kSines}) run.expectSize(i, isShared ? S * D : B * S * D);
      cosines = run.input(kCosines), sines = run.input(kSines);
    }
    if (rate > 0) {
      run.expectSize(kSeed, 2);
      if (!run.ok()) return;
      isDropped = true;
      dropout = {PhiloxSeedOf(run.input<int32_t>(kSeed)), static_cast<uint32_t>(std::ceil(rate * 8388608.0f)),
                 1.0f / (1.0f - rate)};
    }
    for (int64_t i = 0; run.ok() && starts != nullptr && i < B * S; i++)
      if (starts[i] < 0 || starts[i] > i % S) run.fail("query " + std::to_string(i % S) + " does not see itself");
  }

  int64_t blocks() const { return (S + kBlock - 1) / kBlock; }
  const T* query(Execution& run) const { return run.input<T>(kQuery); }
  const T* key(Execution& run) const { return run.input<T>(isProjection ? kQuery : kKey) + keyOffset; }
  const T* value(Execution& run) const { return run.input<T>(isProjection ? kQuery : kValue) + valueOffset; }
  // Cosines and sines of the positions from t of a window; null if nothing is turned.
  std::pair<const float*, const float*> rotation(int64_t b, int64_t t) const {
    const int64_t offset = (isShared ? t : b * S + t) * D;
    if (cosines == nullptr) return {nullptr, nullptr};
    return {cosines + offset, sines + offset};
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(D)); }
  // Of a block of queries, about, in additions of vectors.
  int64_t costOfBlock() const { return kBlock * std::min(S, S / 2 + kBlock) * D / 8 + 1; }
  AttentionHead head(int64_t b, int64_t k, int64_t g) const {
    const float *ownKeys = keys + (b * K + k) * capacity * D, *ownValues = values + (b * K + k) * capacity * D;
    const int32_t* firsts = starts == nullptr ? nullptr : starts + b * S;
    const uint64_t weights = static_cast<uint64_t>((b * K + k) * G + g) * static_cast<uint64_t>(S * S);
    return {S, D, P, scale(), ownKeys, ownValues, firsts, isDropped ? &dropout : nullptr, weights};
  }
};

// Copies the keys, turned, and the values of all heads to their memory, or into the workspace if they have none.
template <typename T>
void CopyKeys(Execution& run, BlockAttention<T>& a) {
  const int64_t heads = a.B * a.K, size = a.capacity * a.D, blocks = a.blocks();
  if (a.keys == nullptr) a.keys = run.temporary(2 * heads * size), a.values = a.keys + heads * size;
  if (!run.ok()) return;
  const T *key = a.key(run), *value = a.value(run);
  ShareRows(heads * blocks, 2 * kBlock * a.D, [&](int64_t firstBlock, int64_t lastBlock) {
    for (int64_t i = firstBlock; i < lastBlock; i++) {
      const int64_t head = i / blocks, t = i % blocks * kBlock, b = head / a.K, rows = std::min(kBlock, a.S - t);
      const int64_t from = a.keyStrides.at(b, head % a.K, 0, t), to = head * size + t * a.D;
      const auto [cosines, sines] = a.rotation(b, t);
      ReadRows(rows, a.D, key + from, a.keyStrides.position, cosines, sines, 1.0f, a.keys + to, a.D);
      ReadRows<T>(rows, a.D, value + from, a.keyStrides.position, nullptr, nullptr, 1.0f, a.values + to, a.D);
    }
  });
}

// The queries from `first` of a head, as AttendBlock wants them.
template <typename T>
void ReadQueries(const BlockAttention<T>& a, const T* query, int64_t b, int64_t k, int64_t g, int64_t first,
                 AttentionScratch& scratch) {
  const int64_t rows = std::min(kBlock, a.S - first);
  const auto [cosines, sines] = a.rotation(b, first);
  ReadRows(rows, a.D, query + a.queryStrides.at(b, k, g, first), a.queryStrides.position, cosines, sines, a.scale(),
           scratch.queries, a.P);
  std::memset(scratch.queries + rows * a.P, 0, (kBlock - rows) * a.P * sizeof(float));
}

// Attends all queries, from the last block of all heads, which takes longest, to the first. `logSums` may be null.
template <typename T>
void AttendAll(Execution& run, const BlockAttention<T>& a, T* attended, float* logSums) {
  const T* query = a.query(run);
  const int64_t heads = a.B * a.K * a.G, blocks = a.blocks();
  ShareRows(heads * blocks, a.costOfBlock(), [&](int64_t firstBlock, int64_t lastBlock) {
    AttentionScratch& scratch = ScratchOfThread(a.P);
    for (int64_t i = firstBlock; i < lastBlock; i++) {
      const int64_t first = (blocks - 1 - i / heads) * kBlock, rows = std::min(kBlock, a.S - first);
      const int64_t at = i % heads, g = at % a.G, k = at / a.G % a.K, b = at / a.G / a.K;
      ReadQueries(a, query, b, k, g, first, scratch);
      AttendBlock(a.head(b, k, g), first, scratch);
      WriteRows<T>(rows, a.D, scratch.outputs, a.P, nullptr, nullptr, attended + a.outputStrides.at(b, k, g, first),
                   a.outputStrides.position);
      if (logSums != nullptr) std::memcpy(logSums + at * a.S + first, scratch.logSums, rows * sizeof(float));
    }
  });
}

template <typename T>
void ComputeBlockAttention(Execution& run, const BlockAttentionAttributes& attributes) {
  BlockAttention<T> a(run, attributes.rate);
  T* attended = a.isProjection ? run.output<T>(0, {a.B, a.S, a.K, a.G, a.D}) : run.outputLike<T>(0, kQuery);
  float* logSums = a.isProjection ? run.output(1, {a.B, a.K, a.G, a.S}) : run.output(1, {a.B, a.K, a.G * a.S});
  if (!run.ok() || run.size(kQuery) == 0) return;
  CopyKeys(run, a);
  if (run.ok()) AttendAll(run, a, attended, logSums);
}

// The keys and values of a prompt are put straight into the cache, where they stay for the steps that follow.
template <typename T>
void ComputePromptAttention(Execution& run, const PromptAttributes& attributes) {
  BlockAttention<T> a(run, 0);
  run.expectRank(kQuery, 5);
  T* attended = run.output<T>(0, {a.B, a.S, a.K, a.G, a.D});
  if (!run.ok() || run.size(kQuery) == 0) return;
  a.capacity = attributes.capacity;
  const int64_t row = *run.input<int32_t>(kFirstRow), last = row + a.B * a.K * a.capacity;
  for (int i : {kCachedKeys, kCachedValues})
    if (a.B != 1 || a.S > a.capacity || row < 0 || last * a.D > run.size(i))
      run.fail("the prompt is outside the cache");
  if (!run.ok()) return;
  a.keys = run.variable(kCachedKeys) + row * a.D, a.values = run.variable(kCachedValues) + row * a.D;
  CopyKeys(run, a);
  AttendAll<T>(run, a, attended, nullptr);
}

// Into how many parts the blocks of queries of a key head are divided: enough to occupy several threads with few heads.
// It depends on the size of a window alone, or else a window's gradients would depend on its neighbours.
template <typename T>
int64_t PartsOf(const BlockAttention<T>& a) {
  return std::clamp<int64_t>(std::min(16 / a.K, a.G * a.blocks() / 4), 1, 8);
}

VARIANTS void AddTo(int64_t n, const float* __restrict x, float* __restrict sum) {
  for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

template <typename T>
void ComputeBlockAttentionGrad(Execution& run, const BlockAttentionAttributes& attributes) {
  BlockAttention<T> a(run, attributes.rate);
  for (int i : {kAttended, kDAttended}) run.expectSize(i, a.B * a.S * a.K * a.G * a.D);
  run.expectSize(kLogSums, a.B * a.K * a.G * a.S);
  T* dQuery = run.outputLike<T>(0, kQuery);
  T* dKey = run.outputLike<T>(1, kKey);
  T* dValue = run.outputLike<T>(2, kValue);
  if (!run.ok() || run.size(kQuery) == 0) return;
  if (a.isProjection) dKey = dQuery + a.keyOffset, dValue = dQuery + a.valueOffset;
  CopyKeys(run, a);
  const int64_t heads = a.B * a.K, parts = PartsOf(a), blocks = a.blocks(), size = a.S * a.P;
  const T *query = a.query(run), *attended = run.input<T>(kAttended), *dAttended = run.input<T>(kDAttended);
  const float* logSums = run.input(kLogSums);
  // Sums over the queries of each part, (parts, B·K, T, P). Blocks of queries go to the parts in turns, since later
  // ones take longer.
  float *dKeys = run.temporary(parts * heads * size), *dValues = run.temporary(parts * heads * size);
  if (!run.ok()) return;
  ShareRows(heads * parts, a.costOfBlock() * 3 * a.G * blocks / parts, [&](int64_t firstPart, int64_t lastPart) {
    AttentionScratch& scratch = ScratchOfThread(a.P);
    for (int64_t i = firstPart; i < lastPart; i++) {
      const int64_t part = i % parts, k = i / parts % a.K, b = i / parts / a.K,
                    at = (part * heads + b * a.K + k) * size;
      std::memset(dKeys + at, 0, size * sizeof(float));
      std::memset(dValues + at, 0, size * sizeof(float));
      for (int64_t block = part; block < a.G * blocks; block += parts) {
        const int64_t g = block / blocks, first = block % blocks * kBlock, rows = std::min(kBlock, a.S - first);
        const int64_t stride = a.outputStrides.position, output = a.outputStrides.at(b, k, g, first);
        ReadQueries(a, query, b, k, g, first, scratch);
        ReadRows<T>(rows, a.D, dAttended + output, stride, nullptr, nullptr, 1.0f, scratch.dOutputs, a.P);
        std::memset(scratch.dOutputs + rows * a.P, 0, (kBlock - rows) * a.P * sizeof(float));
        std::memcpy(scratch.logSums, logSums + ((b * a.K + k) * a.G + g) * a.S + first, rows * sizeof(float));
        Deltas(rows, a.D, attended + output, dAttended + output, stride, scratch.deltas);
        for (int64_t t = rows; t < kBlock; t++) scratch.logSums[t] = 1e30f, scratch.deltas[t] = 0;
        AttendBlockGrad(a.head(b, k, g), first, scratch, dKeys + at, dValues + at);
        const auto [cosines, sines] = a.rotation(b, first);
        WriteRows(rows, a.D, scratch.outputs, a.P, cosines, sines, dQuery + a.queryStrides.at(b, k, g, first),
                  a.queryStrides.position);
      }
    }
  });
  ShareRows(heads * blocks, parts * kBlock * a.D, [&](int64_t firstBlock, int64_t lastBlock) {
    for (int64_t i = firstBlock; i < lastBlock; i++) {
      const int64_t head = i / blocks, t = i % blocks * kBlock, b = head / a.K, rows = std::min(kBlock, a.S - t);
      const int64_t from = head * size + t * a.P, to = a.keyStrides.at(b, head % a.K, 0, t);
      for (int64_t part = 1; part < parts; part++) {
        AddTo(rows * a.P, dKeys + part * heads * size + from, dKeys + from);
        AddTo(rows * a.P, dValues + part * heads * size + from, dValues + from);
      }
      const auto [cosines, sines] = a.rotation(b, t);
      WriteRows(rows, a.D, dKeys + from, a.P, cosines, sines, dKey + to, a.keyStrides.position);
      WriteRows<T>(rows, a.D, dValues + from, a.P, nullptr, nullptr, dValue + to, a.keyStrides.position);
    }
  });
}

// (B, T, G + 2, K, D) → (B, T, K, G, D)
void AttendedShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {0, 1}, {0, 3}, {0, 2, -2}, {0, 4}});
}

// The same and (B, K, G, T), or (B, K, G·T, D) → the same, (B, K, G·T).
void BlockAttentionShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  if (RankOfInput(context, status, kQuery) == 5) {
    AttendedShape(context, status);
    ShapeAlong(context, status, 1, {{0, 0}, {0, 3}, {0, 2, -2}, {0, 1}});
  } else {
    ShapesOfInputs(context, status, 1);
    ShapeAlong(context, status, 1, {{0, 0}, {0, 1}, {0, 2}});
  }
}

const std::vector<const char*> inputs = {
    "query: T", "key: T", "value: T", "starts: int32", "cosines: float", "signed_sines: float", "seed: int32"};
std::vector<const char*> With(std::vector<const char*> more) {
  std::vector<const char*> all = inputs;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

const Registration blockAttention = Operation("ClmBlockAttention", inputs, {"attended: T", "log_sums: float"})
                                        .attribute("rate: float")
                                        .shapes(BlockAttentionShapes)
                                        .kernels<ComputeBlockAttention<float>, ComputeBlockAttention<Bfloat16>>();
const Registration promptAttention =
    Operation("ClmPromptAttention", With({"keys: float", "values: float", "first_row: int32"}), {"attended: T"})
        .attribute("capacity: int")
        .updates()
        .shapes(AttendedShape)
        .kernels<ComputePromptAttention<float>, ComputePromptAttention<Bfloat16>>();
const Registration blockAttentionGrad =
    Operation("ClmBlockAttentionGrad", With({"attended: T", "log_sums: float", "d_attended: T"}),
              {"d_query: T", "d_key: T", "d_value: T"})
        .attribute("rate: float")
        .shapes(ShapesOfFirst<3>)
        .kernels<ComputeBlockAttentionGrad<float>, ComputeBlockAttentionGrad<Bfloat16>>();

}  // namespace
