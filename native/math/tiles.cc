// Products on the tile unit. A float32 number is exactly the sum of three bfloat16 ones (8 + 8 + 8 bits), so a product
// of two is nine of theirs, of which three are too small to count: below 2⁻²¹ of it. The other six are summed up by the
// unit. That is Henry, Tang and Heinecke's scheme (2019, https://arxiv.org/abs/1904.06376): nearer to the exact product
// than a chain of float32's multiplications and additions, at a sixth of the unit's speed, which is more than vectors
// have.
//
// As in other fast products (Goto and van de Geijn 2008, https://doi.org/10.1145/1356052.1356053), blocks of the inputs
// are packed first, in the order in which they will be read.
//
// M rows · K inputs · N outputs
#include "tiles.h"

#include "tilePacking.h"

#if HAS_TILE_INSTRUCTIONS

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

namespace {

// Columns of B packed at once, and numbers of them along K, by pieces: so many that they stay in the second cache.
constexpr int64_t kMostColumns = 512;
constexpr int64_t kMostDepth[] = {0, 1536, 0, 384};
// Rows of A packed at once: they stay in the first cache where they are few, but rows across K want reading in longer
// runs.
constexpr int64_t kFewRows = kStrip, kMoreRows = 4 * kStrip;
// Rows whose sums may have to be kept apart.
constexpr int64_t kMostRows = 1024;

// How many bfloat16 numbers stand for one.
template <typename Output>
constexpr int kPiecesFor = sizeof(Output) == sizeof(float) ? 3 : 1;

// sums (32, 32) of strips of A and B: 1 or 2 tiles of rows times 1 or 2 of columns. The smallest products come first.
template <int pieces, int down, int across>
INLINE_TILED void MultiplyStrips(int64_t blocks, const char* a, const char* b, float* sums) {
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

INLINE_TILED void StoreSome(float* to, __mmask16 which, __m512 numbers) { _mm512_mask_storeu_ps(to, which, numbers); }
INLINE_TILED void StoreSome(Bfloat16* to, __mmask16 which, __m512 numbers) {
  _mm256_mask_storeu_epi16(to, which, (__m256i)_mm512_cvtneps_pbh(numbers));
}

// Rows of at most 32 sums each, with those of the blocks of K before (or null), to where they belong.
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

// Memory that a thread keeps from one product to the next.
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

// A length in equal parts of no more than `most`, each a multiple of `unit`.
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

template <bool transposedA, bool transposedB, typename A, typename B, typename C>
TILED void Multiply(int64_t M, int64_t N, int64_t K, Matrix<A> a, Matrix<B> b, C* c, int64_t stride) {
  if (M == 0 || N == 0) return;
  constexpr int pieces = kPiecesFor<C>;
  constexpr int64_t kRowsAtOnce = transposedA ? kMoreRows : kFewRows;
  static thread_local Scratch stripsOfA, stripsOfB, kept;
  const int64_t depth = PartLength(K, kMostDepth[pieces], kDepth), width = PartLength(N, kMostColumns, kStrip);
  const int64_t stripBytes = depth / kDepth * pieces * 2 * kTile;
  char* packedA = stripsOfA.OfSize(stripBytes * (kRowsAtOnce / kStrip));
  char* packedB = stripsOfB.OfSize(stripBytes * (width / kStrip));
  // Sums of the blocks of K so far: in place where they are float32.
  constexpr bool inPlace = sizeof(C) == sizeof(float);
  const int64_t keptBytes = inPlace || depth >= K ? 0 : (M < kMostRows ? M : kMostRows) * width * sizeof(float);
  float* partial = reinterpret_cast<float*>(kept.OfSize(keptBytes));
  alignas(64) float sums[kStrip * kStrip];
  UseTiles();
  const auto end = [](int64_t begin, int64_t length, int64_t all) {
    return begin + length < all ? begin + length : all;
  };
  for (int64_t mFrom = 0; mFrom < M; mFrom += kMostRows)
    for (int64_t nFrom = 0; nFrom < N; nFrom += width)
      for (int64_t kFrom = 0; kFrom < K; kFrom += depth) {
        const int64_t mEnd = end(mFrom, kMostRows, M), nEnd = end(nFrom, width, N), kEnd = end(kFrom, depth, K);
        const int64_t blocks = (kEnd - kFrom + kDepth - 1) / kDepth;
        PackStrips<pieces, transposedB, transposedB>(
            b.numbers + (transposedB ? nFrom * b.stride + kFrom : kFrom * b.stride + nFrom), b.stride, nEnd - nFrom,
            kEnd - kFrom, packedB, stripBytes);
        for (int64_t mGroup = mFrom; mGroup < mEnd; mGroup += kRowsAtOnce) {
          const int64_t groupEnd = end(mGroup, kRowsAtOnce, mEnd);
          PackStrips<pieces, !transposedA, transposedA>(
              a.numbers + (transposedA ? kFrom * a.stride + mGroup : mGroup * a.stride + kFrom), a.stride,
              groupEnd - mGroup, kEnd - kFrom, packedA, stripBytes);
          for (int64_t m = mGroup; m < groupEnd; m += kStrip)
            for (int64_t n = nFrom; n < nEnd; n += kStrip) {
              const char* stripA = packedA + (m - mGroup) / kStrip * stripBytes;
              const char* stripB = packedB + (n - nFrom) / kStrip * stripBytes;
              const int64_t rows = end(m, kStrip, mEnd) - m, columns = end(n, kStrip, nEnd) - n;
              if (rows > kRows && columns > kRows)
                MultiplyStrips<pieces, 2, 2>(blocks, stripA, stripB, sums);
              else if (rows > kRows)
                MultiplyStrips<pieces, 2, 1>(blocks, stripA, stripB, sums);
              else if (columns > kRows)
                MultiplyStrips<pieces, 1, 2>(blocks, stripA, stripB, sums);
              else
                MultiplyStrips<pieces, 1, 1>(blocks, stripA, stripB, sums);
              C* to = c + m * stride + n;
              float* const part = inPlace ? reinterpret_cast<float*>(to) : partial + (m - mFrom) * width + n - nFrom;
              const int64_t partStride = inPlace ? stride : width;
              const float* before = kFrom > 0 ? part : nullptr;
              if (kEnd == K)
                StoreSums(sums, before, partStride, to, stride, rows, columns);
              else
                StoreSums(sums, before, partStride, part, partStride, rows, columns);
            }
        }
      }
  _tile_release();
}

}  // namespace

template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void MultiplyTiles(int64_t M, int64_t N, int64_t K, Matrix<A> a, Matrix<B> b, C* c, int64_t stride) {
  Multiply<transposedA, transposedB>(M, N, K, a, b, c, stride);
}

bool HasTiles() {
  // Linux lends a process the unit's registers when it asks for them: arch_prctl(ARCH_REQ_XCOMP_PERM,
  // XFEATURE_XTILEDATA).
  static const bool has = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
                          __builtin_cpu_supports("avx512bf16") && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return has;
}

#else

bool HasTiles() { return false; }
template <bool transposedA, bool transposedB, typename A, typename B, typename C>
void MultiplyTiles(int64_t, int64_t, int64_t, Matrix<A>, Matrix<B>, C*, int64_t) {}

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
