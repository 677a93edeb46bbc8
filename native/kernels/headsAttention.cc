// Self-attention on the output of the joint projection to queries, keys and values: heads are read and written where
// they are, without a transposed copy, and products skip blocks that the mask hides. Needs the tile unit, see
// math/tiles.h.
//
// B micro-batch size · T positions · K heads · D head size
#include <algorithm>
#include <memory>
#include <vector>

#include "../math/softmax.h"
#include "../math/tiles.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

// Queries, or keys, of a block: enough that packing the other side pays, few enough that most of what a causal mask
// hides is skipped.
constexpr int64_t kBlock = 128;

// What all heads share: the shape of the projection (B, T, 3, K, D) and the mask (T, T) or (B, 1, 1, T, T).
struct Heads {
  int64_t B = 0, T = 0, K = 0, D = 0;
  const float* mask = nullptr;
  bool isShared = true;    // one mask for the micro-batch
  std::vector<Span> seen;  // keys that a query sees, for each query of each mask

  Heads(Execution& run, int projected, int maskInput) {
    run.expectRank(projected, 5);
    if (!run.ok()) return;
    B = run.dimension(projected, 0), T = run.dimension(projected, 1), K = run.dimension(projected, 3),
    D = run.dimension(projected, 4);
    mask = run.input(maskInput);
    isShared = run.size(maskInput) == T * T;
    if (!isShared) run.expectSize(maskInput, B * T * T);
    for (int64_t row = 0; run.ok() && row < (isShared ? T : B * T); row++) seen.push_back(SeenBy(mask + row * T, T));
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(D)); }
  // Numbers from a row to the next: of the projection, and of the attended values.
  int64_t projectedStride() const { return 3 * K * D; }
  int64_t stride() const { return K * D; }
  int64_t firstMask(int64_t b) const { return isShared ? 0 : b * T; }

  // Runs body(b, head) for every head, on the threads of the branch.
  template <typename Body>
  void forEach(const Body& body) const {
    ShareRows(B * K, T * T, [&](int64_t first, int64_t last) {
      for (int64_t head = first; head < last; head++) body(head / K, head % K);
    });
  }
  // Runs body(first, last, range of the keys that these queries see) for blocks of queries.
  template <typename Body>
  void forQueries(int64_t b, const Body& body) const {
    for (int64_t first = 0; first < T; first += kBlock) {
      const int64_t last = std::min(first + kBlock, T);
      Span keys = seen[firstMask(b) + first];
      for (int64_t t = first; t < last; t++) {
        keys.begin = std::min(keys.begin, seen[firstMask(b) + t].begin);
        keys.end = std::max(keys.end, seen[firstMask(b) + t].end);
      }
      body(first, last, keys);
    }
  }
  // Runs body(first, last, range of the queries that see any of these keys) for blocks of keys.
  template <typename Body>
  void forKeys(int64_t b, const Body& body) const {
    for (int64_t first = 0; first < T; first += kBlock) {
      const int64_t last = std::min(first + kBlock, T);
      const auto sees = [&](int64_t t) {
        return seen[firstMask(b) + t].begin < last && seen[firstMask(b) + t].end > first;
      };
      Span queries{0, T};
      while (queries.begin < T && !sees(queries.begin)) queries.begin++;
      while (queries.end > queries.begin && !sees(queries.end - 1)) queries.end--;
      body(first, last, queries);
    }
  }
};

// Outputs: attended (B, T, K, D) · attention weights (B, K, T, T) for the gradient.
template <typename T>
void ComputeHeadsAttention(Execution& run) {
  const Heads heads(run, 0, 1);
  const int64_t from = heads.projectedStride(), to = heads.stride(), S = heads.T, size = heads.D, count = heads.K;
  T* attended = run.output<T>(0, {heads.B, S, count, size});
  T* weights = run.output<T>(1, {heads.B, count, S, S});
  if (!run.ok()) return;
  const T* projected = run.input<T>(0);
  heads.forEach([&](int64_t b, int64_t head) {
    const T* query = projected + b * S * from + head * size;
    const T *key = query + count * size, *value = key + count * size;
    T* p = weights + (b * count + head) * S * S;
    T* out = attended + b * S * to + head * size;
    std::vector<float> row(S);
    heads.forQueries(b, [&](int64_t first, int64_t last, Span keys) {
      T* block = p + first * S + keys.begin;
      const int64_t width = keys.end - keys.begin;
      MultiplyTiles<false, true>(last - first, width, size, Matrix<T>{query + first * from, from},
                                 Matrix<T>{key + keys.begin * from, from}, block, S);
      for (int64_t t = first; t < last; t++) {
        const Span seen = heads.seen[heads.firstMask(b) + t];
        const float* mask = heads.mask + (heads.firstMask(b) + t) * S + seen.begin;
        T* scores = p + t * S + seen.begin;
        Softmax(seen.end - seen.begin, heads.scale(), scores, mask, row.data(), scores);
        SetHiddenTo0(p + t * S, seen, S);
      }
      MultiplyTiles<false, false>(last - first, size, width, Matrix<T>{block, S},
                                  Matrix<T>{value + keys.begin * from, from}, out + first * to, to);
    });
  });
}

// Inputs: projected · weights (B, K, T, T) · gradient by the attended values (B, T, K, D) · mask.
template <typename T>
void ComputeHeadsAttentionGrad(Execution& run) {
  const Heads heads(run, 0, 3);
  const int64_t from = heads.projectedStride(), to = heads.stride(), S = heads.T, size = heads.D, count = heads.K;
  run.expectSize(1, heads.B * count * S * S);
  run.expectSize(2, heads.B * S * to);
  T* dProjected = run.outputLike<T>(0, 0);
  if (!run.ok()) return;
  const T *projected = run.input<T>(0), *weights = run.input<T>(1), *dAttended = run.input<T>(2);
  heads.forEach([&](int64_t b, int64_t head) {
    const int64_t offset = b * S * from + head * size;
    const T *query = projected + offset, *key = query + count * size, *value = key + count * size;
    T *dQuery = dProjected + offset, *dKey = dQuery + count * size, *dValue = dKey + count * size;
    const T* p = weights + (b * count + head) * S * S;
    const T* dOut = dAttended + b * S * to + head * size;
    const std::unique_ptr<T[]> dScores(new T[S * S]);
    heads.forQueries(b, [&](int64_t first, int64_t last, Span keys) {
      T* block = dScores.get() + first * S + keys.begin;
      const int64_t width = keys.end - keys.begin;
      MultiplyTiles<false, true>(last - first, width, size, Matrix<T>{dOut + first * to, to},
                                 Matrix<T>{value + keys.begin * from, from}, block, S);
      for (int64_t t = first; t < last; t++) {
        const Span seen = heads.seen[heads.firstMask(b) + t];
        T* scores = dScores.get() + t * S + seen.begin;
        SoftmaxGrad(seen.end - seen.begin, heads.scale(), p + t * S + seen.begin, scores, scores);
        SetHiddenTo0(dScores.get() + t * S, seen, S);
      }
      MultiplyTiles<false, false>(last - first, size, width, Matrix<T>{block, S},
                                  Matrix<T>{key + keys.begin * from, from}, dQuery + first * from, from);
    });
    heads.forKeys(b, [&](int64_t first, int64_t last, Span queries) {
      const int64_t seeing = queries.end - queries.begin, at = queries.begin * S + first;
      if (seeing == 0) {
        for (int64_t t = first; t < last; t++) {
          std::memset(static_cast<void*>(dKey + t * from), 0, size * sizeof(T));
          std::memset(static_cast<void*>(dValue + t * from), 0, size * sizeof(T));
        }
        return;
      }
      MultiplyTiles<true, false>(last - first, size, seeing, Matrix<T>{dScores.get() + at, S},
                                 Matrix<T>{query + queries.begin * from, from}, dKey + first * from, from);
      MultiplyTiles<true, false>(last - first, size, seeing, Matrix<T>{p + at, S},
                                 Matrix<T>{dOut + queries.begin * to, to}, dValue + first * from, from);
    });
  });
}

// (B, T, 3, K, D) → (B, T, K, D), (B, K, T, T)
void HeadsAttentionShapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {0, 1}, {0, 3}, {0, 4}});
  ShapeAlong(context, status, 1, {{0, 0}, {0, 3}, {0, 1}, {0, 1}});
}

const Registration headsAttention =
    Operation("ClmHeadsAttention", {"projected: T", "mask: float"}, {"attended: T", "weights: T"})
        .shapes(HeadsAttentionShapes)
        .kernels<ComputeHeadsAttention<float>, ComputeHeadsAttention<Bfloat16>>();
const Registration headsAttentionGrad =
    Operation("ClmHeadsAttentionGrad", {"projected: T", "weights: T", "d_attended: T", "mask: float"},
              {"d_projected: T"})
        .shapes(ShapesOfFirst<1>)
        .kernels<ComputeHeadsAttentionGrad<float>, ComputeHeadsAttentionGrad<Bfloat16>>();

}  // namespace
