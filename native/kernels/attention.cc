// The softmax of attention with its scale and mask, forward and backward, reading only the keys that a query sees.
//
// B micro-batch size · K key/value heads · R = G·T rows of queries of a key head · T positions · S keys
#include <vector>

#include "../kernel.h"
#include "../parallel.h"
#include "../math/softmax.h"

namespace {

struct AttentionAttributes {
  float scale = 1;
  explicit AttentionAttributes(Construction& construction) { construction.read("scale", &scale); }
};

// The rows (B, K, R, S) of an execution, each with the row of the mask (T, S) or (B, 1, 1, T, S) that is its own.
class MaskedRows {
 public:
  MaskedRows(const Execution& run, int scores, int mask) : mask_(run.input(mask)) {
    batch_ = run.dimension(scores, 0), heads_ = run.dimension(scores, 1), rows_ = run.dimension(scores, 2);
    keys_ = run.dimension(scores, 3);
    positions_ = run.dimension(mask, run.rank(mask) - 2);
    isShared_ = run.size(mask) == positions_ * keys_;
    const int64_t masks = isShared_ ? 1 : batch_;
    fits_ = run.size(mask) == masks * positions_ * keys_ && positions_ > 0 && rows_ % positions_ == 0;
    for (int64_t row = 0; fits_ && row < masks * positions_; row++) seen_.push_back(SeenBy(mask_ + row * keys_, keys_));
  }
  bool fits() const { return fits_; }
  int64_t keys() const { return keys_; }

  // Over ranges of rows, on the threads of the branch: compute(offset of the row, the row's mask, the keys its query
  // sees, a row of numbers to write on).
  template <typename Compute>
  void forEach(Compute compute) const {
    ShareRows(batch_ * heads_ * rows_, keys_, [&](int64_t first, int64_t last) {
      std::vector<float> buffer(keys_);
      for (int64_t row = first; row < last; row++) {
        const int64_t b = row / (heads_ * rows_);
        const int64_t masked = (isShared_ ? 0 : b * positions_) + row % rows_ % positions_;
        compute(row * keys_, mask_ + masked * keys_, seen_[masked], buffer.data());
      }
    });
  }

 private:
  const float* mask_;
  int64_t batch_, heads_, rows_, keys_, positions_;
  bool isShared_, fits_;
  std::vector<Span> seen_;
};

constexpr const char* kMisfit = "clm: a mask that does not fit the scores";

template <typename T>
void AttentionWeightsOf(Execution& run, float scale) {
  const MaskedRows rows(run, 0, 1);
  if (!rows.fits()) return run.fail(kMisfit);
  T* weights = run.outputOver<T>(0, 0);
  if (!run.ok()) return;
  const T* scores = run.input<T>(0);
  rows.forEach([&](int64_t offset, const float* mask, Span seen, float* row) {
    const int64_t at = offset + seen.begin;
    Softmax(seen.end - seen.begin, scale, scores + at, mask + seen.begin, row, weights + at);
    HideRest(weights + offset, seen, rows.keys());
  });
}
void ComputeAttentionWeights(void* kernel, TF_OpKernelContext* context) {
  const float scale = static_cast<AttentionAttributes*>(kernel)->scale;
  Execution run(context);
  if (run.ok() && run.rank(0) != 4) run.fail("clm: scores must be of rank 4");
  if (run.ok()) run.isHalf(0) ? AttentionWeightsOf<Bfloat16>(run, scale) : AttentionWeightsOf<float>(run, scale);
}

template <typename T>
void AttentionWeightsGradOf(Execution& run, float scale) {
  const MaskedRows rows(run, 0, 2);
  if (!rows.fits()) return run.fail(kMisfit);
  run.expectSize(1, run.size(0));
  T* dScores = run.outputOver<T>(0, 1);
  if (!run.ok()) return;
  const T* weights = run.input<T>(0);
  const T* dWeights = run.input<T>(1);
  rows.forEach([&](int64_t offset, const float*, Span seen, float*) {
    const int64_t at = offset + seen.begin;
    SoftmaxGrad(seen.end - seen.begin, scale, weights + at, dWeights + at, dScores + at);
    HideRest(dScores + offset, seen, rows.keys());
  });
}
void ComputeAttentionWeightsGrad(void* kernel, TF_OpKernelContext* context) {
  const float scale = static_cast<AttentionAttributes*>(kernel)->scale;
  Execution run(context);
  if (run.ok() && run.rank(0) != 4) run.fail("clm: weights must be of rank 4");
  if (run.ok())
    run.isHalf(0) ? AttentionWeightsGradOf<Bfloat16>(run, scale) : AttentionWeightsGradOf<float>(run, scale);
}

}  // namespace

void RegisterAttention(TF_Status* status) {
  const auto create = NewAttributes<AttentionAttributes>;
  const auto remove = DeleteAttributes<AttentionAttributes>;
  Register({"ClmAttentionWeights",
            {"scores: T", "mask: float"},
            {"weights: T"},
            {kProductType, "scale: float"},
            ShapesOfFirst<1>,
            ComputeAttentionWeights,
            create,
            remove},
           status);
  Register({"ClmAttentionWeightsGrad",
            {"weights: T", "d_weights: T", "mask: float"},
            {"d_scores: T"},
            {kProductType, "scale: float"},
            ShapesOfFirst<1>,
            ComputeAttentionWeightsGrad,
            create,
            remove},
           status);
}
