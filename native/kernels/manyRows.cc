// Products of many rows with a matrix of bfloat16 weights that are not trained: of an adapter's base, and of prompts.
// Weights are packed as float32 panel by panel in the cache, so that no float32 copy of a matrix is ever in memory. The
// terms of a number are added up in their order, so that a row gives the same bits whatever the other rows and the
// threads are.
//
// M rows · K inputs · N outputs; the bias is empty or of N numbers
#include <algorithm>

#include "../math/blocks.h"
#include "../operation.h"
#include "../parallel.h"

namespace {

// Outputs of a panel, and inputs that are multiplied before the next ones: it fits into the first-level cache beside
// the rows.
constexpr int64_t kPanel = 32, kDepth = 288;
// Panels that are packed together, at most: longer runs of a row of weights are read faster.
constexpr int64_t kPanels = 6;
// Rows that packed panels are used for: they stay in the second-level cache, as the panels do.
constexpr int64_t kRowsAtOnce = 256;

struct Sizes {
  int64_t M, K, N;
};

// The panels of a thread, 221 kB that are kept.
float* Panels() {
  alignas(64) static thread_local float panels[kPanels * kPanel * kDepth];
  return panels;
}

// Panels (depth, kPanel) one after another, from w (depth, …) or, if `transposed`, w (…, depth), with rows `stride`
// apart. The last one is filled up with zeros.
template <bool transposed>
INLINE void Pack(int64_t depth, int64_t outputs, const Bfloat16* w, int64_t stride, float* panels) {
  const int64_t whole = outputs / kPanel * kPanel;
  if (!transposed) {
    for (int64_t k = 0; k < depth; k++) {
      float* to = panels + k * kPanel;
      for (int64_t n = 0; n < whole; n += kPanel, to += kPanel * kDepth)
        for (int64_t i = 0; i < kPanel; i++) to[i] = Load(w + k * stride + n + i);
      if (whole < outputs)
        for (int64_t i = 0; i < kPanel; i++) to[i] = whole + i < outputs ? Load(w + k * stride + whole + i) : 0;
    }
    return;
  }
  alignas(64) float rows[kPanel * kDepth];
  const int64_t eights = depth / 8 * 8;
  for (int64_t n = 0; n < outputs; n += kPanel, panels += kPanel * kDepth) {
    for (int64_t i = 0; i < kPanel; i++)
      for (int64_t k = 0; k < depth; k++) rows[i * kDepth + k] = n + i < outputs ? Load(w + (n + i) * stride + k) : 0;
    TransposeBlock(kPanel, eights, rows, kDepth, 1, panels, kPanel);
    for (int64_t k = eights; k < depth; k++)
      for (int64_t i = 0; i < kPanel; i++) panels[k * kPanel + i] = rows[i * kDepth + k];
  }
}

// The columns [first, last) of at most kRowsAtOnce rows, from `m` on, of y (M, N) = x (M, K) · w + bias.
template <bool transposed>
struct Part {
  Sizes sizes;
  int64_t m, first, last;
  const float *x, *bias;
  const Bfloat16* w;
  float* y;

  template <int W>
  ALWAYS_INLINE void run() const {
    const int64_t K = sizes.K, N = sizes.N;
    const int64_t rows = sizes.M - m < kRowsAtOnce ? sizes.M - m : kRowsAtOnce;
    float* panels = Panels();
    // Whole vectors are written: what does not fill a panel is computed in a copy of the columns.
    alignas(64) float narrow[kRowsAtOnce * kPanel];
    const int64_t whole = first + (last - first) / kPanel * kPanel;
    if (bias != nullptr) {
      for (int64_t row = 0; row < rows; row++) {
        std::memcpy(y + (m + row) * N + first, bias + first, (whole - first) * sizeof(float));
        for (int64_t i = 0; i < kPanel && whole < last; i++)
          narrow[row * kPanel + i] = whole + i < last ? bias[whole + i] : 0;
      }
    }
    for (int64_t k = 0; k < K; k += kDepth) {
      const int64_t depth = K - k < kDepth ? K - k : kDepth;
      const Bfloat16* from = w + (transposed ? first * K + k : k * N + first);
      Pack<transposed>(depth, last - first, from, transposed ? K : N, panels);
      const float* panel = panels;
      const auto multiply = [&](float* to, int64_t stride) __attribute__((always_inline)) {
        const float* input = x + m * K + k;
        if (k > 0 || bias != nullptr)
          MultiplyBlock<W, false, true>(rows, kPanel, depth, input, K, panel, kPanel, to, stride);
        else
          MultiplyBlock<W, false, false>(rows, kPanel, depth, input, K, panel, kPanel, to, stride);
        panel += kPanel * kDepth;
      };
      for (int64_t n = first; n < whole; n += kPanel) multiply(y + m * N + n, N);
      if (whole < last) multiply(narrow, kPanel);
    }
    if (whole < last)
      for (int64_t row = 0; row < rows; row++)
        std::memcpy(y + (m + row) * N + whole, narrow + row * kPanel, (last - whole) * sizeof(float));
  }
};

// Groups of columns: as many for each thread, and of the same width if that is possible, so that no thread waits long
// for the last one.
int64_t GroupsOf(int64_t panels, int64_t threads) {
  const int64_t least = ((panels + kPanels - 1) / kPanels + threads - 1) / threads * threads;
  for (int64_t groups = least; groups <= 2 * least; groups += threads)
    if (panels % groups == 0) return groups;
  return std::min(panels, least);
}

template <bool transposed>
void ComputeManyRows(Execution& run) {
  for (int i = 0; i < 2; i++) run.expectRank(i, 2);
  if (!run.ok()) return;
  const Sizes sizes{run.dimension(0, 0), run.dimension(0, 1), run.dimension(1, transposed ? 0 : 1)};
  const auto& [M, K, N] = sizes;
  if (run.dimension(1, transposed ? 1 : 0) != K)
    run.fail("the weights, " + run.shapeText(1) + ", do not fit the rows, " + run.shapeText(0));
  const bool isBiased = !transposed && run.size(2) > 0;
  if (isBiased) run.expectSize(2, N);
  float* y = run.output(0, {M, N});
  if (!run.ok()) return;
  const float *x = run.input(0), *bias = isBiased ? run.input(2) : nullptr;
  const Bfloat16* w = run.input<Bfloat16>(1);
  const int64_t panels = (N + kPanel - 1) / kPanel, blocks = (M + kRowsAtOnce - 1) / kRowsAtOnce;
  const int64_t threads = ThreadsPerBranch(), groups = GroupsOf(panels, threads);
  const auto compute = [&, M = M, K = K, N = N](int64_t part) {
    const int64_t group = part % groups, first = panels * group / groups * kPanel;
    const int64_t last = std::min(N, panels * (group + 1) / groups * kPanel);
    OnWidestVectors(Part<transposed>{{M, K, N}, part / groups * kRowsAtOnce, first, last, x, bias, w, y});
  };
  if (threads > 1) return InParallel(groups * blocks, compute);
  for (int64_t part = 0; part < groups * blocks; part++) compute(part);
}

// (M, K) and (K, N), or (N, K) if transposed → (M, N)
template <bool transposed>
void ManyRowsShape(TF_ShapeInferenceContext* context, TF_Status* status) {
  ShapeAlong(context, status, 0, {{0, 0}, {1, transposed ? 0 : 1}});
}

const Registration manyRows = Operation("ClmManyRows", {"x: float", "w: bfloat16", "bias: float"}, {"y: float"})
                                  .shapes(ManyRowsShape<false>)
                                  .kernel<ComputeManyRows<false>>({});
const Registration manyRowsTransposed = Operation("ClmManyRowsTransposed", {"x: float", "w: bfloat16"}, {"y: float"})
                                            .shapes(ManyRowsShape<true>)
                                            .kernel<ComputeManyRows<true>>({});

}  // namespace
