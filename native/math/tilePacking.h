// Packs matrices into tiles of 1 KiB: 16 rows of 16 words, each word a pair of bfloat16 numbers along K. Which numbers
// of K form a pair does not matter as long as both sides of a product agree: here they are 16 apart, because that needs
// no shuffling.
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

constexpr int64_t kRows = 16;          // rows of a tile
constexpr int64_t kDepth = 32;         // numbers along K in a row of a tile
constexpr int64_t kTile = 1024;        // bytes of a tile
constexpr int64_t kStrip = 2 * kRows;  // rows of A, or columns of B, that are packed side by side

typedef uint32_t Words __attribute__((vector_size(64)));

INLINE_TILED Words Interleave(__m256i low, __m256i high) {
  return (Words)_mm512_cvtepu16_epi32(low) | ((Words)_mm512_cvtepu16_epi32(high) << 16);
}

// Pairs 16 numbers at `low` with 16 at `high`; those of `low` are the lower 16 bits of the words. float32 numbers are
// rounded to bfloat16 (1 piece) or cut into bfloat16 pieces that add up to them exactly (3 pieces).
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
  static_assert(pieces == 1, "a bfloat16 number is one piece");
  *pairs = Interleave(_mm256_loadu_si256((const __m256i*)low), _mm256_loadu_si256((const __m256i*)high));
}

// Transposes 16 rows of 16 words in four steps, which exchange words, pairs of words, and twice quarters of rows.
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

// Packs one tile for each piece, 2 tiles apart. `alongK`: a row in memory runs along K. Tiles of A have rows along K,
// tiles of B across it; if memory has the other order, the tile is `transposed`.
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

// Packs the tiles of a strip that hold 32 numbers along K, from `wide` rows of A or columns of B and `deep` numbers
// along K. What is missing is filled with zeros.
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

// Packs `wide` rows of A or columns of B into strips that are `stripBytes` apart, each [deep / 32][pieces][2] tiles.
// The matrix is read in memory order.
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
