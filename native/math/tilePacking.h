// How the numbers of matrices are packed into tiles, which are 1 KiB: 16 rows of 16 words, a word a pair of bfloat16
// numbers that follow each other along K. Which ones are paired is free, as long as it is the same on both sides of a
// product: 16 apart, they need no shuffling.
#pragma once

#include "vectors.h"

#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__) && __GNUC__ >= 12
#define HAS_TILE_INSTRUCTIONS 1
#else
#define HAS_TILE_INSTRUCTIONS 0
#endif

#if HAS_TILE_INSTRUCTIONS

#include <immintrin.h>

#define TILED \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16,prefer-vector-width=512")))
#define INLINE_TILED static inline __attribute__((always_inline)) TILED

constexpr int64_t kRows = 16;          // of a tile
constexpr int64_t kDepth = 32;         // numbers along K that a tile takes in
constexpr int64_t kStrip = 2 * kRows;  // rows of A or columns of B, and of a block of sums
constexpr int64_t kTile = 1024;        // bytes

typedef uint32_t Words __attribute__((vector_size(64)));

INLINE_TILED Words Interleave(__m256i low, __m256i high) {
  return (Words)_mm512_cvtepu16_epi32(low) | ((Words)_mm512_cvtepu16_epi32(high) << 16);
}

// 16 numbers at `low` and 16 at `high`, paired, those of `low` in the lower halves: rounded, or cut into pieces that
// add up to them exactly.
template <int pieces>
INLINE_TILED void Pair(const float* low, const float* high, Words* pairs) {
  __m512 a = _mm512_loadu_ps(low), b = _mm512_loadu_ps(high);
  if constexpr (pieces == 1) {
    *pairs = Interleave((__m256i)_mm512_cvtneps_pbh(a), (__m256i)_mm512_cvtneps_pbh(b));
  } else {
    constexpr uint32_t kUpper = 0xffff0000u;
#pragma GCC unroll 3
    for (int piece = 0; piece < pieces; piece++) {
      const Words top = (Words)b & kUpper;
      pairs[piece] = ((Words)a >> 16) | top;
      a = _mm512_sub_ps(a, (__m512)((Words)a & kUpper));
      b = _mm512_sub_ps(b, (__m512)top);
    }
  }
}
template <int pieces>
INLINE_TILED void Pair(const Bfloat16* low, const Bfloat16* high, Words* pairs) {
  static_assert(pieces == 1, "a half is one piece");
  *pairs = Interleave(_mm256_loadu_si256((const __m256i*)low), _mm256_loadu_si256((const __m256i*)high));
}

// 16 vectors of 16 words, columns for rows: words, pairs, quarters and again quarters of the vectors change places.
INLINE_TILED void Transpose(Words* rows) {
  __m512i* x = (__m512i*)rows;
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  constexpr int even = 0x88, odd = 0xdd;  // quarters 0 and 2, or 1 and 3, of two vectors
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(x[i], x[4 + i], even);
    t[4 + i] = _mm512_shuffle_i32x4(x[i], x[4 + i], odd);
    t[8 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], even);
    t[12 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], odd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    x[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], even);
    x[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], odd);
    x[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], even);
    x[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], odd);
  }
}

// One tile for each piece, 2 tiles apart. Rows in memory run along K or across it; a tile of A wants rows along K,
// one of B across, and where they lie the other way they are transposed.
template <int pieces, bool alongK, bool transposed, typename T>
INLINE_TILED void PackTile(const T* from, int64_t stride, char* to) {
  Words pairs[kRows][pieces];
#pragma GCC unroll 16
  for (int64_t i = 0; i < kRows; i++)
    Pair<pieces>(from + i * stride, alongK ? from + i * stride + kRows : from + (i + kRows) * stride, pairs[i]);
#pragma GCC unroll 3
  for (int piece = 0; piece < pieces; piece++) {
    Words rows[kRows];
#pragma GCC unroll 16
    for (int64_t i = 0; i < kRows; i++) rows[i] = pairs[i][piece];
    if (transposed) Transpose(rows);
#pragma GCC unroll 16
    for (int64_t i = 0; i < kRows; i++) _mm512_store_si512(to + piece * 2 * kTile + i * 64, (__m512i)rows[i]);
  }
}

// The tiles of 32 numbers along K of a strip: from up to 32 rows of A or columns of B, filled up with zeros.
template <int pieces, bool alongK, bool transposed, typename T>
INLINE_TILED void PackBlock(const T* from, int64_t stride, int64_t wide, int64_t deep, char* to) {
  for (int64_t half = 0; half < 2 && half * kRows < wide; half++) {
    const T* corner = from + half * kRows * (alongK ? stride : 1);
    const int64_t width = wide - half * kRows;
    if (width >= kRows && deep >= kDepth) {
      PackTile<pieces, alongK, transposed>(corner, stride, to + half * kTile);
      continue;
    }
    T filled[kRows * kDepth] = {};
    const int64_t columns = alongK ? kDepth : kRows;
    const int64_t across = width < kRows ? width : kRows, along = deep < kDepth ? deep : kDepth;
    for (int64_t row = 0; row < (alongK ? across : along); row++)
      std::memcpy(filled + row * columns, corner + row * stride, (alongK ? along : across) * sizeof(T));
    PackTile<pieces, alongK, transposed>(filled, columns, to + half * kTile);
  }
}

// Strips of `wide` rows of A or columns of B, `stripBytes` apart, each [deep / 32][pieces][2] tiles. Memory is read in
// the order in which it lies.
template <int pieces, bool alongK, bool transposed, typename T>
TILED void PackStrips(const T* from, int64_t stride, int64_t wide, int64_t deep, char* to, int64_t stripBytes) {
  const auto pack = [&](int64_t strip, int64_t k) __attribute__((always_inline)) TILED {
    PackBlock<pieces, alongK, transposed>(alongK ? from + strip * stride + k : from + k * stride + strip, stride,
                                          wide - strip, deep - k,
                                          to + strip / kStrip * stripBytes + k / kDepth * pieces * 2 * kTile);
  };
  if (alongK) {
    for (int64_t strip = 0; strip < wide; strip += kStrip)
      for (int64_t k = 0; k < deep; k += kDepth) pack(strip, k);
  } else {
    for (int64_t k = 0; k < deep; k += kDepth)
      for (int64_t strip = 0; strip < wide; strip += kStrip) pack(strip, k);
  }
}

#endif
