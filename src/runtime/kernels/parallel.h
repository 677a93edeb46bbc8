// Threads of clm's own, for kernels that are bound by memory: TensorFlow's cannot be had through its C API.
#pragma once

#include <cstdint>

// How many threads there are to share work among, the calling one included.
int ThreadCount();

// Runs body(part) for every part from 0 to parts − 1, on the calling thread and on helpers as far as they are free, and
// returns when all are done. Chance decides which thread runs a part, so parts must not depend on each other.
void RunParts(int64_t parts, void (*body)(int64_t part, const void* context), const void* context);

template <typename Body>
void InParallel(int64_t parts, const Body& body) {
  RunParts(parts, [](int64_t part, const void* context) { (*static_cast<const Body*>(context))(part); }, &body);
}
