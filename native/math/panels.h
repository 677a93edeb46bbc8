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

// Columns of a panel, and numbers along K that are multiplied before the next ones: it fits into the first-level cache
// beside a strip.
constexpr int64_t kPanel = 32, kPanelDepth = 288;
// Panels that are packed together, at most: longer runs of a row of the matrix are read faster.
constexpr int64_t kPanels = 6;
// Rows of a strip, and rows that packed panels are used for: they stay in the second-level cache, as the panels do.
constexpr int64_t kStripRows = 8, kPanelRows = 256;

// What a thread packs, 516 kB that are kept.
struct Packed {
  alignas(64) float panels[kPanels * kPanel * kPanelDepth];
  alignas(64) float strips[kPanelRows * kPanelDepth];
};
inline Packed& PackedNumbers() {
  static thread_local Packed packed;
  return packed;
}

// Panels (depth, kPanel) one after another, from b (depth, …) or, if `transposed`, b (…, depth), with rows `stride`
// apart. The last one is filled up with zeros.
template <bool transposed, typename T>
INLINE void PackPanels(int64_t depth, int64_t columns, const T* b, int64_t stride, float* panels) {
  const int64_t whole = columns / kPanel * kPanel;
  if (!transposed) {
    for (int64_t k = 0; k < depth; k++) {
      float* to = panels + k * kPanel;
      for (int64_t n = 0; n < whole; n += kPanel, to += kPanel * kPanelDepth)
        for (int64_t i = 0; i < kPanel; i++) to[i] = Load(b + k * stride + n + i);
      if (whole < columns)
        for (int64_t i = 0; i < kPanel; i++) to[i] = whole + i < columns ? Load(b + k * stride + whole + i) : 0;
    }
    return;
  }
  alignas(64) float rows[kPanel * kPanelDepth];
  const int64_t eights = depth / 8 * 8;
  for (int64_t n = 0; n < columns; n += kPanel, panels += kPanel * kPanelDepth) {
    const float* from = rows;
    int64_t strideFrom = kPanelDepth;
    if constexpr (std::is_same_v<T, float>) {
      if (n < whole) from = b + n * stride, strideFrom = stride;
    }
    if (from == rows) {
      for (int64_t i = 0; i < kPanel; i++)
        for (int64_t k = 0; k < depth; k++)
          rows[i * kPanelDepth + k] = n + i < columns ? Load(b + (n + i) * stride + k) : 0;
    }
    TransposeBlock(kPanel, eights, from, strideFrom, 1, panels, kPanel);
    for (int64_t k = eights; k < depth; k++)
      for (int64_t i = 0; i < kPanel; i++) panels[k * kPanel + i] = from[i * strideFrom + k];
  }
}

// Strips (depth, kStripRows) one after another, from a (rows, depth) or, if `transposed`, a (depth, rows), with rows
// `stride` apart. What the last one has more than `rows` is not set.
template <bool transposed>
INLINE void PackStrips(int64_t rows, int64_t depth, const float* a, int64_t stride, float* strips) {
  const int64_t eights = transposed ? 0 : depth / 8 * 8;
  for (int64_t m = 0; m < rows; m += kStripRows, strips += kStripRows * depth) {
    const int64_t count = rows - m < kStripRows ? rows - m : kStripRows;
    if (transposed) {
      for (int64_t k = 0; k < depth; k++) {
        const float* from = a + k * stride + m;
        if (count == kStripRows)
          std::memcpy(strips + k * kStripRows, from, kStripRows * sizeof(float));
        else
          for (int64_t i = 0; i < count; i++) strips[k * kStripRows + i] = from[i];
      }
      continue;
    }
    const int64_t whole = count == kStripRows ? eights : 0;
    TransposeBlock(count == kStripRows ? kStripRows : 0, whole, a + m * stride, stride, 1, strips, kStripRows);
    for (int64_t i = 0; i < count; i++)
      for (int64_t k = whole; k < depth; k++) strips[k * kStripRows + i] = a[(m + i) * stride + k];
  }
}

// c = a · b, or c += a · b, for a strip of rows and columns of one panel. What is added is summed up by itself first:
// long sums keep more digits.
template <int W, bool transposed>
ALWAYS_INLINE void MultiplyStrip(bool adds, int64_t rows, int64_t columns, int64_t depth, const float* a,
                                 int64_t strideA, const float* panel, float* c, int64_t strideC) {
  if (!adds)
    return MultiplyBlock<W, transposed, false>(rows, columns, depth, a, strideA, panel, kPanel, c, strideC);
  alignas(64) float sums[kStripRows * kPanel];
  MultiplyBlock<W, transposed, false>(rows, columns, depth, a, strideA, panel, kPanel, sums, kPanel);
  for (int64_t row = 0; row < rows; row++)
    for (int64_t i = 0; i < columns; i += W)
      StoreFloats<W>(c + row * strideC + i,
                     LoadFloats<W>(c + row * strideC + i) + LoadFloats<W>(sums + row * kPanel + i));
}

// Rows [m, m + rows) and columns [first, last) of c (M, N) = a (M, K) · b (K, N) + bias, where a or b may be stored
// transposed; at most kPanelRows rows and kPanels panels. The bias, N numbers, may be null.
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
    // Whole vectors are written: what does not fill a panel is computed in a copy of the columns.
    alignas(64) float narrow[kPanelRows * kPanel];
    const int64_t whole = first + (last - first) / kPanel * kPanel;
    if (bias != nullptr) {
      for (int64_t row = 0; row < rows; row++) {
        std::memcpy(c + (m + row) * N + first, bias + first, (whole - first) * sizeof(float));
        for (int64_t i = 0; i < kPanel && whole < last; i++)
          narrow[row * kPanel + i] = whole + i < last ? bias[whole + i] : 0;
      }
    }
    for (int64_t k = 0; k < K; k += kPanelDepth) {
      const int64_t depth = K - k < kPanelDepth ? K - k : kPanelDepth;
      PackPanels<transposedB>(depth, last - first, b + (transposedB ? first * K + k : k * N + first),
                              transposedB ? K : N, packed.panels);
      const float* from = a + (transposedA ? k * M + m : m * K + k);
      if (isPacked) PackStrips<transposedA>(rows, depth, from, transposedA ? M : K, packed.strips);
      const float* panel = packed.panels;
      const bool adds = k > 0 || bias != nullptr;
      const auto multiply = [&](int64_t columns, float* to, int64_t stride) __attribute__((always_inline)) {
        for (int64_t row = 0; row < rows; row += kStripRows) {
          const int64_t count = rows - row < kStripRows ? rows - row : kStripRows;
          float* at = to + row * stride;
          if (isPacked)
            MultiplyStrip<W, true>(adds, count, columns, depth, packed.strips + row * depth, kStripRows, panel, at,
                                   stride);
          else
            MultiplyStrip<W, false>(adds, count, columns, depth, from + row * K, K, panel, at, stride);
        }
        panel += kPanel * kPanelDepth;
      };
      for (int64_t n = first; n < whole; n += kPanel) multiply(kPanel, c + m * N + n, N);
      if (whole < last) multiply(last - whole > kPanel / 2 ? kPanel : kPanel / 2, narrow, kPanel);
    }
    if (whole < last)
      for (int64_t row = 0; row < rows; row++)
        std::memcpy(c + (m + row) * N + whole, narrow + row * kPanel, (last - whole) * sizeof(float));
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
  const int64_t atOnce = std::clamp((M + least * kStripRows - 1) / (least * kStripRows) * kStripRows, int64_t{64},
                                    kPanelRows);
  const int64_t blocks = (M + atOnce - 1) / atOnce;
  const auto compute = [=](int64_t part) {
    const int64_t batch = part / groups / blocks, m = part / groups % blocks * atOnce, group = part % groups;
    OnWidestVectors(PanelProduct<transposedA, transposedB, T>{
        M, K, N, m, std::min(atOnce, M - m), panels * group / groups * kPanel,
        std::min(N, panels * (group + 1) / groups * kPanel), a + batch * M * K, bias, b + batch * K * N,
        c + batch * M * N});
  };
  const int64_t parts = batches * blocks * groups;
  if (threads > 1) return InParallel(parts, compute);
  for (int64_t part = 0; part < parts; part++) compute(part);
}
