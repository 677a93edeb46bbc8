// Matrix products on the tile unit. A float32 number is exactly the sum of three bfloat16 numbers (8 + 8 + 8 bits), so
// a product of two float32 numbers is the sum of nine bfloat16 products. Three of them are negligible (below 2⁻²¹ of
// the result); the unit adds up the other six. This is the scheme of Henry, Tang and Heinecke (2019,
// https://arxiv.org/abs/1904.06376). It is closer to the exact product than a chain of float32 multiplications and
// additions, at a sixth of the unit's speed, which is still faster than vector instructions.
//
// As in other fast products (Goto and van de Geijn 2008, https://doi.org/10.1145/1356052.1356053), blocks of the inputs
// are packed first, in the order in which they will be read.
//
// M rows · K inner dimension · N columns
#include "tiles.h"

#include "tilePacking.h"

#if HAS_TILE_INSTRUCTIONS

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <type_traits>

namespace {

// Number of bfloat16 pieces of a number, by the type of the output.
template <typename Output>
constexpr int kPiecesFor = std::is_same_v<Output, float> ? 3 : 1;

// A block of B is packed at once: at most this many columns, and this many numbers along K, so that it stays in the
// second-level cache.
constexpr int64_t kMostColumns = 512;
template <int pieces>
constexpr int64_t kMostDepth = pieces == 1 ? 1536 : 384;
// Rows of A packed at once: few, so that they stay in the first-level cache; more if A is stored transposed, because
// then longer runs are read.
template <bool transposedA>
constexpr int64_t kRowsAtOnce = transposedA ? 4 * kStrip : kStrip;
// Rows whose sums are kept from one block of K to the next, if the output is bfloat16.
constexpr int64_t kMostRows = 1024;

// sums (32, 32) = a strip of A times a strip of B: `down` (1 or 2) tiles of rows times `across` tiles of columns,
// `blocks` tiles along K. The smallest products are added first.
template <int pieces, int down, int across>
INLINE_TILED void MultiplyTilesOfStrips(int64_t blocks, const char* a, const char* b, float* sums) {
  constexpr int64_t row = 64, next = 2 * kTile;
  const auto loadA = [&](int piece) __attribute__((always_inline)) TILED {
    _tile_loadd(4, a + piece * next, row);
    if (down > 1) _tile_loadd(5, a + piece * next + kTile, row);
  };
  const auto loadB = [&](int piece) __attribute__((always_inline)) TILED {
    _tile_loadd(6, b + piece * next, row);
    if (across > 1) _tile_loadd(7, b + piece * next + kTile, row);
  };
  const auto multiply = [&]() __attribute__((always_inline)) TILED {
    _tile_dpbf16ps(0, 4, 6);
    if (across > 1) _tile_dpbf16ps(1, 4, 7);
    if (down > 1) _tile_dpbf16ps(2, 5, 6);
    if (down > 1 && across > 1) _tile_dpbf16ps(3, 5, 7);
  };
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < blocks; k++, a += pieces * next, b += pieces * next) {
    loadA(0);
    if (pieces == 3) {
      loadB(2);
      multiply();
      loadB(1);
      multiply();
      loadA(1);
      multiply();
      loadB(0);
      multiply();
      loadA(2);
      multiply();
      loadA(0);
    } else {
      loadB(0);
    }
    multiply();
  }
  constexpr int64_t stride = kStrip * sizeof(float);
  _tile_stored(0, sums, stride);
  if (across > 1) _tile_stored(1, sums + kRows, stride);
  if (down > 1) _tile_stored(2, sums + kRows * kStrip, stride);
  if (down > 1 && across > 1) _tile_stored(3, sums + kRows * kStrip + kRows, stride);
}

// The same for the tiles that `rows` and `columns` of the strips, at most 32, need.
template <int pieces>
INLINE_TILED void MultiplyStrips(int64_t rows, int64_t columns, int64_t blocks, const char* a, const char* b,
                                 float* sums) {
  if (rows > kRows && columns > kRows)
    MultiplyTilesOfStrips<pieces, 2, 2>(blocks, a, b, sums);
  else if (rows > kRows)
    MultiplyTilesOfStrips<pieces, 2, 1>(blocks, a, b, sums);
  else if (columns > kRows)
    MultiplyTilesOfStrips<pieces, 1, 2>(blocks, a, b, sums);
  else
    MultiplyTilesOfStrips<pieces, 1, 1>(blocks, a, b, sums);
}

INLINE_TILED void StoreSome(float* to, __mmask16 which, __m512 numbers) { _mm512_mask_storeu_ps(to, which, numbers); }
INLINE_TILED void StoreSome(Bfloat16* to, __mmask16 which, __m512 numbers) {
  _mm256_mask_storeu_epi16(to, which, (__m256i)_mm512_cvtneps_pbh(numbers));
}

// Stores sums, plus the sums `before` of earlier blocks of K (or null), in the output.
template <typename C>
INLINE_TILED void StoreSums(const float* sums, const float* before, int64_t beforeStride, C* to, int64_t stride,
                            int64_t rows, int64_t columns) {
  for (int64_t n = 0; n < columns; n += kRows) {
    const __mmask16 which = columns - n >= kRows ? 0xffff : (1 << (columns - n)) - 1;
    for (int64_t m = 0; m < rows; m++) {
      __m512 numbers = _mm512_load_ps(sums + m * kStrip + n);
      if (before != nullptr)
        numbers = _mm512_add_ps(numbers, _mm512_maskz_loadu_ps(which, before + m * beforeStride + n));
      StoreSome(to + m * stride + n, which, numbers);
    }
  }
}

// A buffer that a thread keeps from one product to the next.
class Scratch {
 public:
  char* OfSize(int64_t bytes) {
    if (bytes > size_) {
      size_ = (bytes + 4095) / 4096 * 4096;
      memory_.reset(static_cast<char*>(std::aligned_alloc(4096, size_)));
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::unique_ptr<char, Free> memory_;
  int64_t size_ = 0;
};

// The length of the parts if `length` is divided into equal parts of at most `most`, each a multiple of `unit`.
int64_t PartLength(int64_t length, int64_t most, int64_t unit) {
  const int64_t parts = (length + most - 1) / most;
  return ((length + parts - 1) / parts + unit - 1) / unit * unit;
}

TILED void UseTiles() {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {kRows, kRows, kRows, kRows, kRows, kRows, kRows, kRows};
  } shapes;
  _tile_loadconfig(&shapes);
}

// A block of the output, to which one block of K contributes.
template <typename C>
struct OutputBlock {
  C* c;
  int64_t stride, rows, columns;
  float* sums;  // float32 sums over the blocks of K so far: c itself if it is float32
  int64_t sumsStride;
  bool isFirst, isLast;  // of the blocks of K
};

// Multiplies the packed strips of A and B for a block of the output.
template <int pieces, typename C>
INLINE_TILED void MultiplyBlock(const OutputBlock<C>& block, int64_t blocks, const char* packedA, const char* packedB,
                                int64_t stripBytes) {
  alignas(64) float sums[kStrip * kStrip];
  for (int64_t m = 0; m < block.rows; m += kStrip)
    for (int64_t n = 0; n < block.columns; n += kStrip) {
      const int64_t rows = std::min(kStrip, block.rows - m), columns = std::min(kStrip, block.columns - n);
      MultiplyStrips<pieces>(rows, columns, blocks, packedA + m / kStrip * stripBytes,
                             packedB + n / kStrip * stripBytes, sums);
      float* const soFar = block.sums + m * block.sumsStride + n;
      const float* before = block.isFirst ? nullptr : soFar;
      if (block.isLast)
        StoreSums(sums, before, block.sumsStride, block.c + m * block.stride + n, block.stride, rows, columns);
      else
        StoreSums(sums, before, block.sumsStride, soFar, block.sumsStride, rows, columns);
    }
}

template <bool transposed, typename T>
INLINE const T* At(const Matrix<T>& matrix, int64_t row, int64_t column) {
  return matrix.numbers + (transposed ? column * matrix.stride + row : row * matrix.stride + column);
}

template <int pieces, bool transposedA, bool transposedB, typename A, typename B, typename C>
TILED void Multiply(int64_t M, int64_t N, int64_t K, Matrix<A> a, Matrix<B> b, C* c, int64_t stride) {
  if (M == 0 || N == 0) return;
  constexpr int64_t rowsAtOnce = kRowsAtOnce<transposedA>;
  static thread_local Scratch stripsOfA, stripsOfB, kept;
  const int64_t depth = PartLength(K, kMostDepth<pieces>, kDepth), width = PartLength(N, kMostColumns, kStrip);
  const int64_t stripBytes = depth / kDepth * pieces * 2 * kTile;
  char* packedA = stripsOfA.OfSize(stripBytes * (rowsAtOnce / kStrip));
  char* packedB = stripsOfB.OfSize(stripBytes * (width / kStrip));
  constexpr bool isInPlace = std::is_same_v<C, float>;
  const int64_t keptBytes = isInPlace || depth >= K ? 0 : std::min(M, kMostRows) * width * sizeof(float);
  float* partial = reinterpret_cast<float*>(kept.OfSize(keptBytes));
  UseTiles();
  for (int64_t mFrom = 0; mFrom < M; mFrom += kMostRows)
    for (int64_t n = 0; n < N; n += width)
      for (int64_t k = 0; k < K; k += depth) {
        const int64_t mEnd = std::min(mFrom + kMostRows, M);
        const int64_t columns = std::min(width, N - n), deep = std::min(depth, K - k);
        PackStrips<pieces, transposedB, transposedB>(At<transposedB>(b, k, n), b.stride, columns, deep, packedB,
                                                     stripBytes);
        for (int64_t m = mFrom; m < mEnd; m += rowsAtOnce) {
          const int64_t rows = std::min(rowsAtOnce, mEnd - m);
          PackStrips<pieces, !transposedA, transposedA>(At<transposedA>(a, m, k), a.stride, rows, deep, packedA,
                                                        stripBytes);
          C* to = c + m * stride + n;
          float* sums = isInPlace ? reinterpret_cast<float*>(to) : partial + (m - mFrom) * width;
          const OutputBlock<C> block{to,     stride,       rows, columns, sums, isInPlace ? stride : width,
                                     k == 0, k + deep == K};
          MultiplyBlock<pieces>(block, (deep + kDepth - 1) / kDepth, packedA, packedB, stripBytes);
        }
      }
  _tile_release();
}

}  // namespace

template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void MultiplyTiles(int64_t M, int64_t N, int64_t K, Matrix<A> a, Matrix<B> b, C* c, int64_t stride) {
  Multiply<kPiecesFor<C>, transposedA, transposedB>(M, N, K, a, b, c, stride);
}

template <bool transposedA>
void MultiplyRounded(int64_t M, int64_t N, int64_t K, Matrix<float> a, Matrix<float> b, float* c, int64_t stride) {
  Multiply<1, transposedA, false>(M, N, K, a, b, c, stride);
}

bool HasTiles() {
  // Linux lets a process use the unit's registers only on request: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
  static const bool has = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
                          __builtin_cpu_supports("avx512bf16") && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return has;
}

#else

bool HasTiles() { return false; }
template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void MultiplyTiles(int64_t, int64_t, int64_t, Matrix<A>, Matrix<B>, C*, int64_t) {}
template <bool transposedA>
void MultiplyRounded(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, float*, int64_t) {}

#endif

#define FOR_TYPES(A, B, C)                                                                                 \
  template void MultiplyTiles<false, false>(int64_t, int64_t, int64_t, Matrix<A>, Matrix<B>, C*, int64_t); \
  template void MultiplyTiles<true, false>(int64_t, int64_t, int64_t, Matrix<A>, Matrix<B>, C*, int64_t);  \
  template void MultiplyTiles<false, true>(int64_t, int64_t, int64_t, Matrix<A>, Matrix<B>, C*, int64_t);
FOR_TYPES(float, float, float)
FOR_TYPES(float, float, Bfloat16)
FOR_TYPES(float, Bfloat16, Bfloat16)
FOR_TYPES(Bfloat16, float, Bfloat16)
FOR_TYPES(Bfloat16, Bfloat16, Bfloat16)
template void MultiplyRounded<false>(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, float*, int64_t);
template void MultiplyRounded<true>(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, float*, int64_t);
