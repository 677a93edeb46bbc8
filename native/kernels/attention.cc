// Attention weights, softmax(scale·scores + mask), forward and backward. Keys that the mask hides at either end of a
// row are not read.
//
// B micro-batch size · K key/value heads · R = G·T rows, one for each query of a key head · T queries · S keys
#include <vector>

#include "../math/softmax.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

struct AttentionAttributes {
  float scale = 1;
  explicit AttentionAttributes(Construction& construction) { construction.read("scale", &scale); }
};

// The rows of scores or weights (B, K, R, S), each with its row of the mask (T, S) or (B, 1, 1, T, S).
class MaskedRows {
 public:
  MaskedRows(Execution& run, int scores, int mask) {
    run.expectRank(scores, 4);
    if (!run.ok()) return;
    mask_ = run.input(mask);
    batch_ = run.dimension(scores, 0), heads_ = run.dimension(scores, 1), rows_ = run.dimension(scores, 2);
    keys_ = run.dimension(scores, 3);
    queries_ = run.rank(mask) < 2 ? 0 : run.dimension(mask, run.rank(mask) - 2);
    isShared_ = run.size(mask) == queries_ * keys_;
    const int64_t masks = isShared_ ? 1 : batch_;
    if (run.size(mask) != masks * queries_ * keys_ || queries_ == 0 || rows_ % queries_ != 0)
      run.fail("the mask, " + run.shapeText(mask) + ", does not fit the scores, " + run.shapeText(scores));
    for (int64_t row = 0; run.ok() && row < masks * queries_; row++)
      seen_.push_back(SeenBy(mask_ + row * keys_, keys_));
  }
  int64_t keys() const { return keys_; }

  // Calls compute(offset of the row, its row of the mask, the keys its query sees, a buffer of S numbers) for each row,
  // on the threads of the branch.
  template <typename Compute>
  void forEach(Compute compute) const {
    ShareRows(batch_ * heads_ * rows_, keys_, [&](int64_t first, int64_t last) {
      std::vector<float> buffer(keys_);
      for (int64_t row = first; row < last; row++) {
        const int64_t b = row / (heads_ * rows_);
        const int64_t masked = (isShared_ ? 0 : b * queries_) + row % rows_ % queries_;
        compute(row * keys_, mask_ + masked * keys_, seen_[masked], buffer.data());
      }
    });
  }

 private:
  const float* mask_ = nullptr;
  int64_t batch_ = 0, heads_ = 0, rows_ = 0, keys_ = 0, queries_ = 0;
  bool isShared_ = false;
  std::vector<Span> seen_;
};

template <typename T>
void ComputeAttentionWeights(Execution& run, const AttentionAttributes& attributes) {
  const MaskedRows rows(run, 0, 1);
  T* weights = run.outputOver<T>(0, 0);
  if (!run.ok()) return;
  const T* scores = run.input<T>(0);
  rows.forEach([&](int64_t offset, const float* mask, Span seen, float* buffer) {
    const int64_t at = offset + seen.begin;
    Softmax(seen.end - seen.begin, attributes.scale, scores + at, mask + seen.begin, buffer, weights + at);
    SetHiddenTo0(weights + offset, seen, rows.keys());
  });
}

template <typename T>
void ComputeAttentionWeightsGrad(Execution& run, const AttentionAttributes& attributes) {
  const MaskedRows rows(run, 0, 2);
  run.expectSize(1, run.size(0));
  T* dScores = run.outputOver<T>(0, 1);
  if (!run.ok()) return;
  const T *weights = run.input<T>(0), *dWeights = run.input<T>(1);
  rows.forEach([&](int64_t offset, const float*, Span seen, float*) {
    const int64_t at = offset + seen.begin;
    SoftmaxGrad(seen.end - seen.begin, attributes.scale, weights + at, dWeights + at, dScores + at);
    SetHiddenTo0(dScores + offset, seen, rows.keys());
  });
}

const Registration attentionWeights = Operation("ClmAttentionWeights", {"scores: T", "mask: float"}, {"weights: T"})
                                          .attribute("scale: float")
                                          .shapes(ShapesOfFirst<1>)
                                          .kernels<ComputeAttentionWeights<float>, ComputeAttentionWeights<Bfloat16>>();
const Registration attentionWeightsGrad =
    Operation("ClmAttentionWeightsGrad", {"weights: T", "d_weights: T", "mask: float"}, {"d_scores: T"})
        .attribute("scale: float")
        .shapes(ShapesOfFirst<1>)
        .kernels<ComputeAttentionWeightsGrad<float>, ComputeAttentionWeightsGrad<Bfloat16>>();

}  // namespace
