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

// Of these, how many a branch of a training step has to itself; 1 until it is told.
int ThreadsPerBranch();

// Runs body(first, last) over ranges of `count` rows that cost about `cost` numbers each, on the threads of a branch
// where it is worth it. Only for bodies that treat every row alone.
template <typename Body>
void ShareRows(int64_t count, int64_t cost, const Body& body) {
  constexpr int64_t kWorthIt = 1 << 14;  // numbers, some 10 µs
  const int64_t rowsAtATime = kWorthIt / cost + 1;
  if (ThreadsPerBranch() == 1 || count <= rowsAtATime) return body(int64_t{0}, count);
  InParallel((count + rowsAtATime - 1) / rowsAtATime, [&](int64_t part) {
    const int64_t first = part * rowsAtATime;
    body(first, first + rowsAtATime < count ? first + rowsAtATime : count);
  });
}
