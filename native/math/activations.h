// The non-linear functions of feed-forwards.
#pragma once

#include "vectors.h"

// GELU in the tanh form: u · sigmoid(2z), z = √(2/π)(u + 0.044715 u³).
constexpr float kLinear = 1.5957691216f;  // 2√(2/π)
constexpr float kCubic = kLinear * 0.044715f;

INLINE float GeluOf(float u) { return u * Sigmoid(u * (kCubic * u * u + kLinear)); }

INLINE float SiluOf(float x) { return x * Sigmoid(x); }
