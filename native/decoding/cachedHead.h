// A step of attention: key/value heads of texts whose keys and values of earlier positions are cached.
//
// G queries of the head · D head size · n positions, the new one included
#pragma once

#include <vector>

#include "../math/vectors.h"

// Angles by which the vectors of a position are turned (D each, the first half of the sines negated); null for none.
struct Angles {
  const float *cosines, *signedSines;
};

// One head of one text.
struct CachedHead {
  int64_t G, D, n;
  const float *queries, *key, *value;  // of the new position, as projected: (G, D), (D), (D)
  const float *queryGain, *keyGain;    // of QK-norm (D), or null
  float epsilon;
  Angles angles;
  float *keys, *values;  // the cache of this head (n, D): the last row is written
  float* output;         // (G, D)
};

// Normalises and turns queries and keys, puts keys and values into the cache, and lets the queries attend to it. All
// heads have the same G and D. The threads share heads, and long texts in blocks of positions; bits depend on neither.
void AttendHeads(const std::vector<CachedHead>& heads);
