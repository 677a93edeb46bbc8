// Matrix products on vector instructions. As in other fast products (Goto and van de Geijn 2008,
// https://doi.org/10.1145/1356052.1356053), both matrices are packed piece by piece in the order in which they are
// read: columns of the second one in panels, rows of the first one in strips. The terms of a number are added up in an
// order that K alone decides, so that a row gives the same bits whatever the other rows and the threads are.
//
// M rows · K inner dimension · N columns
#pragma once

#include <algorithm>
#include <type_traits>

#include "../parallel.h"
#include "blocks.h"

// Columns of a panel, and numbers along K that are multiplied before the next ones: it about fills the first-level
// cache.
constexpr int64_t kPanel = 32, kPanelDepth = 288;
// Panels of a part, at most: rows are packed once for all of them.
constexpr int64_t kPanels = 24;
// Rows of a strip, rows that are packed together, which stay in the second-level cache, and rows of a part, at most:
// panels are packed once for all of them.
constexpr int64_t kStripRows = 8, kPackedRows = 128, kMostRows = 1024;

// What a thread packs, 1 MB that is kept.
struct Packed {
  alignas(64) float panels[kPanels * kPanel * kPanelDepth];
  alignas(64) float strips[kPackedRows * kPanelDepth];
};
inline Packed& PackedNumbers() {
  static thread_local Packed packed;
  return packed;
}

// A panel (depth, kPanel) from columns of b (depth, …) or, if `transposed`, b (…, depth), with rows `stride` apart. It
// is filled up with zeros.
template <bool transposed, typename T>
INLINE void PackPanel(int64_t depth, int64_t columns, const T* b, int64_t stride, float* panel) {
  if (!transposed) {
    for (int64_t k = 0; k < depth; k++, b += stride, panel += kPanel) {
      if (columns == kPanel)
        for (int64_t i = 0; i < kPanel; i++) panel[i] = Load(b + i);
      else
        for (int64_t i = 0; i < kPanel; i++) panel[i] = i < columns ? Load(b + i) : 0;
    }
    return;
  }
  alignas(64) float rows[kPanel * kPanelDepth];
  const float* from = rows;
  int64_t strideFrom = kPanelDepth;
  if constexpr (std::is_same_v<T, float>) {
    if (columns == kPanel) from = b, strideFrom = stride;
  }
  if (from == rows) {
    for (int64_t i = 0; i < kPanel; i++)
      for (int64_t k = 0; k < depth; k++) rows[i * kPanelDepth + k] = i < columns ? Load(b + i * stride + k) : 0;
  }
  const int64_t eights = depth / 8 * 8;
  TransposeBlock(kPanel, eights, from, strideFrom, 1, panel, kPanel);
  for (int64_t k = eights; k < depth; k++)
    for (int64_t i = 0; i < kPanel; i++) panel[k * kPanel + i] = from[i * strideFrom + k];
}

// Strips (depth, kStripRows) one after another, from a (rows, depth) or, if `transposed`, a (depth, rows), with rows
// `stride` apart. What the last one has more than `rows` is not set.
template <bool transposed>
INLINE void PackStrips(int64_t rows, int64_t depth, const float* a, int64_t stride, float* strips) {
  if (transposed) {
    const int64_t whole = rows / kStripRows * kStripRows;
    for (int64_t k = 0; k < depth; k++) {
      const float* from = a + k * stride;
      float* to = strips + k * kStripRows;
      for (int64_t m = 0; m < whole; m += kStripRows, to += kStripRows * depth)
        std::memcpy(to, from + m, kStripRows * sizeof(float));
      for (int64_t i = 0; i < rows - whole; i++) to[i] = from[whole + i];
    }
    return;
  }
  const int64_t eights = depth / 8 * 8;
  for (int64_t m = 0; m < rows; m += kStripRows, strips += kStripRows * depth) {
    const int64_t count = rows - m < kStripRows ? rows - m : kStripRows;
    const int64_t whole = count == kStripRows ? eights : 0;
    TransposeBlock(count == kStripRows ? kStripRows : 0, whole, a + m * stride, stride, 1, strips, kStripRows);
    for (int64_t i = 0; i < count; i++)
      for (int64_t k = whole; k < depth; k++) strips[k * kStripRows + i] = a[(m + i) * stride + k];
  }
}

// c = a · b, or c += a · b, for a strip of rows and columns of one panel. What is added is summed up by itself first:
// long sums keep more digits.
template <int W>
ALWAYS_INLINE void MultiplyStrip(bool isPacked, bool adds, int64_t rows, int64_t columns, int64_t depth, const float* a,
                                 int64_t strideA, const float* panel, float* c, int64_t strideC) {
  alignas(64) float sums[kStripRows * kPanel];
  float* to = adds ? sums : c;
  const int64_t stride = adds ? kPanel : strideC;
  if (isPacked)
    MultiplyBlock<W, true, false>(rows, columns, depth, a, kStripRows, panel, kPanel, to, stride);
  else
    MultiplyBlock<W, false, false>(rows, columns, depth, a, strideA, panel, kPanel, to, stride);
  if (!adds) return;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t i = 0; i < columns; i += W)
      StoreFloats<W>(c + row * strideC + i,
                     LoadFloats<W>(c + row * strideC + i) + LoadFloats<W>(sums + row * kPanel + i));
}

// The same for columns that do not fill a panel: whole vectors are computed, so not in c.
template <int W>
ALWAYS_INLINE void MultiplyEdge(bool isPacked, bool adds, int64_t rows, int64_t columns, int64_t depth, const float* a,
                                int64_t strideA, const float* panel, float* c, int64_t strideC) {
  alignas(64) float sums[kStripRows * kPanel];
  MultiplyStrip<W>(isPacked, false, rows, columns > kPanel / 2 ? kPanel : kPanel / 2, depth, a, strideA, panel, sums,
                   kPanel);
  for (int64_t row = 0; row < rows; row++)
    for (int64_t i = 0; i < columns; i++)
      c[row * strideC + i] = adds ? c[row * strideC + i] + sums[row * kPanel + i] : sums[row * kPanel + i];
}

// Rows [m, m + rows) and columns [first, last) of c (M, N) = a (M, K) · b (K, N) + bias, where a or b may be stored
// transposed; at most kMostRows rows and kPanels panels. The bias, N numbers, may be null.
template <bool transposedA, bool transposedB, typename T>
struct PanelProduct {
  int64_t M, K, N, m, rows, first, last;
  const float *a, *bias;
  const T* b;
  float* c;

  template <int W>
  ALWAYS_INLINE void run() const {
    Packed& packed = PackedNumbers();
    // For a few columns, packing the rows takes longer than it saves.
    const bool isPacked = transposedA || last - first > 2 * kPanel;
    const int64_t whole = first + (last - first) / kPanel * kPanel;
    if (bias != nullptr)
      for (int64_t row = m; row < m + rows; row++)
        std::memcpy(c + row * N + first, bias + first, (last - first) * sizeof(float));
    for (int64_t k = 0; k < K; k += kPanelDepth) {
      const int64_t depth = K - k < kPanelDepth ? K - k : kPanelDepth;
      const bool adds = k > 0 || bias != nullptr;
      for (int64_t block = m; block < m + rows; block += kPackedRows) {
        const int64_t count = std::min(kPackedRows, m + rows - block);
        const float* from = a + (transposedA ? k * M + block : block * K + k);
        if (isPacked) PackStrips<transposedA>(count, depth, from, transposedA ? M : K, packed.strips);
        float* panel = packed.panels;
        for (int64_t n = first; n < last; n += kPanel, panel += kPanel * kPanelDepth) {
          if (block == m)
            PackPanel<transposedB>(depth, std::min(kPanel, last - n), b + (transposedB ? n * K + k : k * N + n),
                                   transposedB ? K : N, panel);
          for (int64_t row = 0; row < count; row += kStripRows) {
            const int64_t strip = std::min(kStripRows, count - row);
            const float* numbers = isPacked ? packed.strips + row * depth : from + row * K;
            float* to = c + (block + row) * N + n;
            if (n < whole)
              MultiplyStrip<W>(isPacked, adds, strip, kPanel, depth, numbers, K, panel, to, N);
            else
              MultiplyEdge<W>(isPacked, adds, strip, last - n, depth, numbers, K, panel, to, N);
          }
        }
      }
    }
  }
};

// Groups of panels: as many for each thread, and of the same width if that is possible, so that no thread waits long
// for the last one.
inline int64_t GroupsOfPanels(int64_t panels, int64_t threads) {
  const int64_t least = ((panels + kPanels - 1) / kPanels + threads - 1) / threads * threads;
  for (int64_t groups = least; groups <= 2 * least; groups += threads)
    if (panels % groups == 0) return groups;
  return std::min(panels, least);
}

// `batches` products c = a · b + bias one after another, by the threads of the branch.
template <bool transposedA, bool transposedB, typename T>
void MultiplyPanels(int64_t batches, int64_t M, int64_t K, int64_t N, const float* a, const T* b, const float* bias,
                    float* c) {
  const int64_t threads = ThreadsPerBranch(), panels = (N + kPanel - 1) / kPanel;
  const int64_t groups = GroupsOfPanels(panels, threads);
  // Fewer rows at once if there would not be a part for every thread.
  const int64_t least = (threads + batches * groups - 1) / (batches * groups);
  const int64_t atOnce =
      std::clamp((M + least * kStripRows - 1) / (least * kStripRows) * kStripRows, int64_t{64}, kMostRows);
  const int64_t blocks = (M + atOnce - 1) / atOnce;
  const auto compute = [=](int64_t part) {
    const int64_t batch = part / groups / blocks, m = part / groups % blocks * atOnce, group = part % groups;
    OnWidestVectors(
        PanelProduct<transposedA, transposedB, T>{M, K, N, m, std::min(atOnce, M - m), panels * group / groups * kPanel,
                                                  std::min(N, panels * (group + 1) / groups * kPanel),
                                                  a + batch * M * K, bias, b + batch * K * N, c + batch * M * N});
  };
  const int64_t parts = batches * blocks * groups;
  if (threads > 1) return InParallel(parts, compute);
  for (int64_t part = 0; part < parts; part++) compute(part);
}
