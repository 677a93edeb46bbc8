// Building blocks of the kernels' loops, written so that the compiler turns them into vector instructions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// One library serves every x86-64 processor: GCC compiles a function marked VARIANTS, or each instance of such a
// template, once for each of these levels (v4: AVX-512, v3: AVX2 and FMA), and the loader picks the best one for the
// processor. Everything that is to use the wider vectors must be inlined into such a function: mark what it calls
// INLINE. Other compilers get the default variant: before GCC 12 the levels are unknown, and clang does not clone
// templates. With CLM_ONE_VARIANT there is one, for the processor of the compiler's flags (npm run check -- vectors).
#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__) && __GNUC__ >= 12 && !defined(CLM_ONE_VARIANT)
#define HAS_VARIANTS
#define VARIANTS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VARIANTS
#endif
#define INLINE static inline __attribute__((always_inline))

// Before a loop whose output may be one of its inputs, if element i depends on no other element of it: the compiler
// then vectorises without a check for overlap.
#if defined(__clang__)
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_PLACE _Pragma("GCC ivdep")
#endif

// Number of partial sums of a row. It fills the widest vectors and is the same for all variants, so that rows are added
// up in the same order.
constexpr int kLanes = 16;

INLINE float SumOfLanes(const float* lanes) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; lane++) sum += lanes[lane];
  return sum;
}

INLINE float Sum(int64_t n, const float* x) {
  const int64_t whole = n - n % kLanes;
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] += x[i + lane];
  for (int64_t i = whole; i < n; i++) lanes[0] += x[i];
  return SumOfLanes(lanes);
}

INLINE float Largest(int64_t n, const float* x) {
  const int64_t whole = n - n % kLanes;
  float lanes[kLanes];
  for (int lane = 0; lane < kLanes; lane++) lanes[lane] = x[0];
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int lane = 0; lane < kLanes; lane++) lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  for (int64_t i = whole; i < n; i++) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  for (int lane = 1; lane < kLanes; lane++) lanes[0] = lanes[lane] > lanes[0] ? lanes[lane] : lanes[0];
  return lanes[0];
}

// The upper 16 bits of a float32.
struct Bfloat16 {
  uint16_t bits;
};

INLINE float Load(const float* x) { return *x; }
INLINE float Load(const Bfloat16* x) {
  const uint32_t bits = static_cast<uint32_t>(x->bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

INLINE void Store(float* y, float value) { *y = value; }
// Rounds to the nearest, ties to even; NaN stays NaN.
INLINE void Store(Bfloat16* y, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  y->bits = static_cast<uint16_t>(value != value ? 0x7fc0u : rounded);
}

// eˣ with an error of at most 2 units in the last place, as 2ⁿ · eʳ with |r| ≤ ½ ln 2. It has no branches, so that
// loops over it vectorise.
INLINE float Exponential(float x) {
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float n = __builtin_rintf(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  float e = 1.0f / 5040;                                        // Taylor's series, error below 2⁻²⁴
  e = e * r + 1.0f / 720;
  e = e * r + 1.0f / 120;
  e = e * r + 1.0f / 24;
  e = e * r + 1.0f / 6;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return e * power;
}

// Replaces a row by exp(row − largest) and returns the sum. What is below e⁻⁸⁷, e.g. of a hidden key, becomes 0.
INLINE float ExponentialsFrom(float largest, int64_t n, float* row) {
  for (int64_t i = 0; i < n; i++) {
    const float difference = row[i] - largest;
    row[i] = difference < -87.0f ? 0.0f : Exponential(difference);
  }
  return Sum(n, row);
}

INLINE float Sigmoid(float x) { return 1.0f / (1.0f + Exponential(-x)); }

// tanh x: near 0, where 1 − 2/(1 + e²ˣ) has few digits, by Taylor's series.
INLINE float HyperbolicTangent(float x) {
  const float square = x * x;
  float series = 62.0f / 2835;
  series = series * square - 17.0f / 315;
  series = series * square + 2.0f / 15;
  series = series * square - 1.0f / 3;
  series = series * square * x + x;
  return square < 0.09f ? series : 1.0f - 2.0f * Sigmoid(-2.0f * x);
}
