// The random numbers of TensorFlow's StatelessRandomUniform, any part of them: Philox 4x32-10 (Salmon et al. 2011,
// https://doi.org/10.1145/2063384.2063405) computes four numbers at once from their place in the sequence.
#pragma once

#if defined(__x86_64__) && !defined(__clang__)
#include <immintrin.h>
#endif

#include "vectors.h"

// As in lanes.h: all functions here are inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

// W/2 numbers of 64 bits. Philox computes with the lower halves; what is in the upper ones does not matter.
template <int W>
struct HalvesOf {
  typedef uint64_t Type __attribute__((vector_size(4 * W)));
};
template <int W>
using Halves = typename HalvesOf<W>::Type;

// The products, of 64 bits, of the lower halves of x and a number.
template <int W>
INLINE Halves<W> WideProducts(Halves<W> x, uint32_t factor) {
#if defined(__x86_64__) && !defined(__clang__)
  // GCC does not see that the lower halves suffice.
  const Halves<W> factors = Halves<W>{} + factor;
  if constexpr (W == 16)
    return (Halves<W>)__builtin_ia32_pmuludq512_mask((__v16si)x, (__v16si)factors, (__v8di)x, (__mmask8)-1);
  if constexpr (W == 8) return (Halves<W>)__builtin_ia32_pmuludq256((__v8si)x, (__v8si)factors);
  if constexpr (W == 4) return (Halves<W>)__builtin_ia32_pmuludq128((__v4si)x, (__v4si)factors);
#endif
  return (x & 0xffffffffu) * static_cast<uint64_t>(factor);
}

template <int W>
INLINE void PhiloxRounds(const uint32_t (&key)[2], Halves<W> (&x)[4]) {
  uint32_t key0 = key[0], key1 = key[1];
#pragma GCC unroll 10
  for (int round = 0; round < 10; round++) {
    const Halves<W> first = WideProducts<W>(x[0], 0xD2511F53), second = WideProducts<W>(x[2], 0xCD9E8D57);
    x[0] = (second >> 32) ^ x[1] ^ (Halves<W>{} + key0);
    x[2] = (first >> 32) ^ x[3] ^ (Halves<W>{} + key1);
    x[1] = second;
    x[3] = first;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
}

// The key and the upper half of the counter that TensorFlow makes of a seed.
struct PhiloxSeed {
  uint32_t key[2];
  uint32_t counter[2];
};

// The constants are those with which TensorFlow mixes the bits of a seed.
inline PhiloxSeed PhiloxSeedOf(const int32_t* seed) {
  Halves<4> mixed[4];
  for (int i = 0; i < 2; i++) {
    const uint64_t wide = static_cast<uint64_t>(static_cast<int64_t>(seed[i]));
    mixed[2 * i] = Halves<4>{} + wide;
    mixed[2 * i + 1] = Halves<4>{} + (wide >> 32);
  }
  PhiloxRounds<4>({0x3ec8f720, 0x02461e29}, mixed);
  const auto word = [&](int i) { return static_cast<uint32_t>(mixed[i][0]); };
  return {{word(0), word(1)}, {word(2), word(3)}};
}

// numbers[i] = number 4·group + i of the sequence for W groups, those of even lanes and those of odd ones. Its lower 23
// bits make TensorFlow's uniform number, bits·2⁻²³.
template <int W, typename Words>
INLINE void PhiloxNumbers(const PhiloxSeed& seed, Halves<W> evenGroups, Halves<W> oddGroups, Words (&numbers)[4]) {
  const Halves<W> upper[2] = {Halves<W>{} + seed.counter[0], Halves<W>{} + seed.counter[1]};
  Halves<W> even[4] = {evenGroups, evenGroups >> 32, upper[0], upper[1]};
  Halves<W> odd[4] = {oddGroups, oddGroups >> 32, upper[0], upper[1]};
  PhiloxRounds<W>(seed.key, even);
  PhiloxRounds<W>(seed.key, odd);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) numbers[i] = reinterpret_cast<Words>((even[i] & 0xffffffffu) | (odd[i] << 32));
}
