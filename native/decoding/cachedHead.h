// A step of attention for one key/value head of one text, whose keys and values of earlier positions are cached.
//
// G queries of the head · D head size · n positions, the new one included
#pragma once

#include "../math/vectors.h"

// Angles by which the vectors of a position are turned (D each, the first half of the sines negated); null for none.
struct Angles {
  const float *cosines, *signedSines;
};

struct CachedHead {
  int64_t G, D, n;
  const float *queries, *key, *value;  // of the new position, as projected: (G, D), (D), (D)
  const float *queryGain, *keyGain;    // of QK-norm (D), or null
  float epsilon;
  Angles angles;
  float *keys, *values;  // the cache of this head (n, D): the last row is written
  float* output;         // (G, D)
};

// Normalises and turns queries and key, puts key and value into the cache, and lets the queries attend to it.
void AttendHead(const CachedHead&);

// The threads share attention that reads at least this many numbers of keys (and as many of values).
constexpr int64_t kSharedAttention = 1 << 14;
