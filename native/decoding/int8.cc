// Products with 8-bit weights, by VNNI where the processor has it. Both forms add up the same integers and scale them
// in the same order. See int8.h.
#include "int8.h"

#include <algorithm>

#include "../math/lanes.h"
#include "../parallel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_VNNI_INSTRUCTIONS 1
#include <immintrin.h>
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,fma")))
#else
#define HAS_VNNI_INSTRUCTIONS 0
#endif

namespace {

// The first byte of a group.
inline int64_t GroupStart(int64_t B, int64_t group) { return group * kGroup * B * kBlockBytes; }
inline int Outputs(int64_t N, int64_t group) { return static_cast<int>(std::min<int64_t>(kGroup, N - group * kGroup)); }

// One group. `numbers` has its weights: input k of output n is at numbers[k * alongK + n * alongN].
VARIANTS void PackGroup(int64_t K, int count, const float* numbers, int64_t alongK, int64_t alongN, uint8_t* packed) {
  const int64_t B = BlockCount(K);
  uint8_t* scales = packed + B * kBlock * count;
  for (int64_t b = 0; b < B; b++) {
    const int64_t inputs = K - b * kBlock < kBlock ? K - b * kBlock : kBlock;
    float block[kBlock][kGroup] = {}, largest[kGroup] = {}, inverse[kGroup];
    const float* from = numbers + b * kBlock * alongK;
    if (alongK == 1) {
      for (int n = 0; n < count; n++)
        for (int64_t k = 0; k < inputs; k++) block[k][n] = from[n * alongN + k];
    } else {
      for (int64_t k = 0; k < inputs; k++) std::memcpy(block[k], from + k * alongK, count * sizeof(float));
    }
    for (int k = 0; k < kBlock; k++)
      for (int n = 0; n < kGroup; n++) {
        const float size = std::fabs(block[k][n]);
        largest[n] = size > largest[n] ? size : largest[n];
      }
    for (int n = 0; n < kGroup; n++) {
      Bfloat16 scale;
      Store(&scale, largest[n] / 127);
      if (n < count) std::memcpy(scales + 2 * (b * count + n), &scale, sizeof scale);
      inverse[n] = Load(&scale) > 0 ? 1 / Load(&scale) : 0;
    }
    for (int k = 0; k < kBlock; k += kAdjacent) {
      uint32_t words[kGroup] = {};
      for (int i = 0; i < kAdjacent; i++)
        for (int n = 0; n < kGroup; n++) {
          // A scale that was rounded down would need a little more than 127 for the largest.
          const float q = block[k + i][n] * inverse[n], bounded = q > 127 ? 127 : q < -127 ? -127 : q;
          words[n] |= static_cast<uint32_t>(static_cast<int32_t>(__builtin_rintf(bounded)) + 128) << (8 * i);
        }
      std::memcpy(packed + (b * kBlock + k) * count, words, count * kAdjacent);
    }
  }
}

// Rows [first, last) of x, as Int8Rows holds them.
VARIANTS void QuantiseBlocks(int64_t M, int64_t K, int64_t first, int64_t last, const float* x, int8_t* numbers,
                             float* scales, int32_t* offsets) {
  for (int64_t m = first; m < last; m++)
    for (int64_t b = 0; b * kBlock < K; b++) {
      const int64_t inputs = K - b * kBlock < kBlock ? K - b * kBlock : kBlock;
      float block[kBlock] = {};
      std::memcpy(block, x + m * K + b * kBlock, inputs * sizeof(float));
      float lanes[kLanes], largest = 0;
      for (int lane = 0; lane < kLanes; lane++) {
        const float a = std::fabs(block[lane]), c = std::fabs(block[lane + kLanes]);
        lanes[lane] = a > c ? a : c;
      }
      for (int lane = 0; lane < kLanes; lane++) largest = lanes[lane] > largest ? lanes[lane] : largest;
      const float inverse = largest > 0 ? 127 / largest : 0;
      int32_t sum = 0;
      int8_t* to = numbers + (b * M + m) * kBlock;
      for (int k = 0; k < kBlock; k++) {
        const int32_t q = static_cast<int32_t>(__builtin_rintf(block[k] * inverse));
        to[k] = static_cast<int8_t>(q);
        sum += q;
      }
      scales[b * M + m] = largest / 127 + 0 * Sum(kBlock, block);  // not finite if one of the numbers is not
      offsets[b * M + m] = -128 * sum;
    }
}

// `rows` rows of x, from `row` on, times a group of `count` outputs, added to sums (rows, 16). In float32, which holds
// every sum of a block exactly: |q| ≤ 127, so that they are below 2²⁴.
VARIANTS void PlainGroup(const Int8Rows& x, int64_t row, int64_t rows, int count, const uint8_t* packed, float* sums) {
  typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
  typedef int32_t Integers __attribute__((vector_size(4 * kLanes)));
  const Bfloat16* scales = reinterpret_cast<const Bfloat16*>(packed + x.B * kBlock * count);
  for (int64_t b = 0; b < x.B; b++) {
    Lanes weights[kBlock], scale = {};
    for (int k = 0; k < kBlock; k += kAdjacent) {
      Words words = {};
      std::memcpy(&words, packed + (b * kBlock + k) * count, count * kAdjacent);
#pragma GCC unroll 4
      for (int i = 0; i < kAdjacent; i++)
        weights[k + i] = __builtin_convertvector((Integers)(words >> (8 * i) & 255) - 128, Lanes);
    }
    for (int n = 0; n < count; n++) scale[n] = Load(scales + b * count + n);
    for (int64_t m = 0; m < rows; m++) {
      const int64_t at = b * x.M + row + m;
      float numbers[kBlock];
      for (int k = 0; k < kBlock; k++) numbers[k] = x.numbers[at * kBlock + k];
      Lanes dots[kAdjacent] = {};
      for (int k = 0; k < kBlock; k += kAdjacent)
#pragma GCC unroll 4
        for (int i = 0; i < kAdjacent; i++) dots[i] += weights[k + i] * numbers[k + i];
      const Lanes sum = LoadLanes(sums + m * kGroup);
      StoreLanes(sums + m * kGroup, sum + ((dots[0] + dots[1]) + (dots[2] + dots[3])) * (scale * x.scales[at]));
    }
  }
}

#if HAS_VNNI_INSTRUCTIONS
// As PlainGroup. A whole group has 16 outputs; a single row keeps its sums in a register.
template <bool isWhole, bool isOne>
VNNI void VnniGroup(const Int8Rows& x, int64_t row, int64_t rows, int count, const uint8_t* packed, float* sums) {
  const uint8_t* scales = packed + x.B * kBlock * count;
  const __mmask16 outputs = static_cast<__mmask16>((1u << count) - 1);
  __m512 single = _mm512_loadu_ps(sums);
  for (int64_t b = 0; b < x.B; b++) {
    const int64_t bytes = kAdjacent * (isWhole ? kGroup : count);
    const uint8_t* from = packed + b * kBlock / kAdjacent * bytes;
    __m512i w[kBlock / kAdjacent];
#pragma GCC unroll 8
    for (int i = 0; i < kBlock / kAdjacent; i++) {
      w[i] = isWhole ? _mm512_loadu_si512(from + i * bytes) : _mm512_maskz_loadu_epi32(outputs, from + i * bytes);
      _mm_prefetch(reinterpret_cast<const char*>(from + i * bytes + 4096), _MM_HINT_T0);
    }
    const uint8_t* scalesFrom = scales + b * 2 * (isWhole ? kGroup : count);
    const __m256i halves = isWhole ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scalesFrom))
                                   : _mm256_maskz_loadu_epi16(outputs, scalesFrom);
    const __m512 scale = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    for (int64_t m = 0; m < (isOne ? 1 : rows); m++) {
      const int64_t at = b * x.M + row + m;
      const int8_t* a = x.numbers.data() + at * kBlock;
      __m512i dots = _mm512_set1_epi32(x.offsets[at]);
#pragma GCC unroll 8
      for (int i = 0; i < kBlock / kAdjacent; i++) {
        int32_t four;
        std::memcpy(&four, a + i * kAdjacent, sizeof four);
        dots = _mm512_dpbusd_epi32(dots, w[i], _mm512_set1_epi32(four));
      }
      const __m512 factor = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[at]));
      if (isOne)
        single = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), factor, single);
      else
        _mm512_storeu_ps(sums + m * kGroup,
                         _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), factor, _mm512_loadu_ps(sums + m * kGroup)));
    }
  }
  if (isOne) _mm512_storeu_ps(sums, single);
}

bool HasVnni() {
  static const bool has = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl");
  return has;
}
#endif

void MultiplyGroup(const Int8Rows& x, int64_t row, int64_t rows, int count, const uint8_t* packed, float* sums) {
#if HAS_VNNI_INSTRUCTIONS
  if (HasVnni()) {
    const auto ofWhole = rows > 1 ? VnniGroup<true, false> : VnniGroup<true, true>;
    const auto multiply = count < kGroup ? VnniGroup<false, false> : ofWhole;
    return multiply(x, row, rows, count, packed, sums);
  }
#endif
  PlainGroup(x, row, rows, count, packed, sums);
}

}  // namespace

void PackInt8(bool transposed, int64_t K, int64_t N, const float* w, uint8_t* packed) {
  InParallel((N + kGroup - 1) / kGroup, [=](int64_t group) {
    const float* numbers = w + group * kGroup * (transposed ? K : 1);
    PackGroup(K, Outputs(N, group), numbers, transposed ? 1 : N, transposed ? K : 1,
              packed + GroupStart(BlockCount(K), group));
  });
}

void UnpackInt8(int64_t B, int64_t N, int64_t output, const uint8_t* packed, float* y) {
  const int64_t group = output / kGroup, n = output % kGroup;
  const int count = Outputs(N, group);
  const uint8_t* from = packed + GroupStart(B, group);
  const Bfloat16* scales = reinterpret_cast<const Bfloat16*>(from + B * kBlock * count);
  for (int64_t b = 0; b < B; b++)
    for (int k = 0; k < kBlock; k++) {
      const int q = from[(b * kBlock + k / kAdjacent * kAdjacent) * count + n * kAdjacent + k % kAdjacent] - 128;
      y[b * kBlock + k] = Load(scales + b * count + n) * static_cast<float>(q);
    }
}

Int8Rows::Int8Rows(int64_t M, int64_t K, const float* x)
    : M(M), B(BlockCount(K)), numbers(B * M * kBlock), scales(B * M), offsets(B * M) {
  ShareRows(M, K, [&](int64_t first, int64_t last) {
    QuantiseBlocks(M, K, first, last, x, numbers.data(), scales.data(), offsets.data());
  });
}

void MultiplyInt8(const Int8Rows& x, int64_t N, const uint8_t* packed, const float* bias, int64_t first, int64_t last,
                  float* y) {
  alignas(64) float sums[kRowsAtOnce * kGroup];
  for (int64_t row = 0; row < x.M; row += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, x.M - row);
    for (int64_t n = first; n < last; n += kGroup) {
      const int count = Outputs(N, n / kGroup);
      for (int64_t m = 0; m < rows; m++)
        for (int i = 0; i < kGroup; i++) sums[m * kGroup + i] = bias != nullptr && i < count ? bias[n + i] : 0;
      MultiplyGroup(x, row, rows, count, packed + GroupStart(x.B, n / kGroup), sums);
      for (int64_t m = 0; m < rows; m++) std::memcpy(y + (row + m) * N + n, sums + m * kGroup, count * sizeof(float));
    }
  }
}

int64_t Int8Part(int64_t M, int64_t K, int64_t N) {
  constexpr int64_t kShared = 1 << 18;   // multiplications from which on the threads share a product
  constexpr int64_t kPartsOfThread = 4;  // so that the others can help one that is held up
  const int64_t groups = (N + kGroup - 1) / kGroup;
  const int64_t parts = M * K * N < kShared ? 1 : kPartsOfThread * ThreadCount();
  return (groups + parts - 1) / parts * kGroup;
}
