// Runs the parts of a kernel on several threads. They are clm's own: TensorFlow's C API does not offer TensorFlow's.
#pragma once

#include <cstdint>

// Number of threads of the process for kernels, the calling one included.
int ThreadCount();

// Runs body(part) for every part from 0 to parts − 1, on the calling thread and on those helpers that are free, and
// returns when all are done. Which thread runs a part is left to chance, so the result of a part must not depend on it,
// and parts must not depend on each other.
void RunParts(int64_t parts, void (*body)(int64_t part, const void* context), const void* context);

template <typename Body>
void InParallel(int64_t parts, const Body& body) {
  RunParts(parts, [](int64_t part, const void* context) { (*static_cast<const Body*>(context))(part); }, &body);
}

// While one exists, helpers without work stay awake: between two parts of a step of decoding they would fall asleep,
// and waking them takes longer than the part.
class HelpersAwake {
 public:
  HelpersAwake();
  ~HelpersAwake();
  HelpersAwake(const HelpersAwake&) = delete;
  HelpersAwake& operator=(const HelpersAwake&) = delete;
};

// While one exists, this thread and its helpers take denormal numbers for 0, as TensorFlow's threads do.
class DenormalsAsZero {
 public:
  DenormalsAsZero();
  ~DenormalsAsZero();
  DenormalsAsZero(const DenormalsAsZero&) = delete;
  DenormalsAsZero& operator=(const DenormalsAsZero&) = delete;

 private:
  const uint64_t before_;
};

// How many of these threads a branch of a step (one of the micro-batches computed at the same time) may use; 1 at
// first.
int ThreadsPerBranch();
void SetThreadsPerBranch(int threads);

// Runs body(first, last) over ranges that together are [0, count). A row costs about as much as `cost` additions; the
// threads of the branch share the rows if that pays. Only for bodies that treat each row on its own.
template <typename Body>
void ShareRows(int64_t count, int64_t cost, const Body& body) {
  constexpr int64_t kMinimalWork = 1 << 14;  // of a range: some 10 µs
  const int64_t rowsAtATime = kMinimalWork / cost + 1;
  if (ThreadsPerBranch() == 1 || count <= rowsAtATime) return body(int64_t{0}, count);
  InParallel((count + rowsAtATime - 1) / rowsAtATime, [&](int64_t part) {
    const int64_t first = part * rowsAtATime;
    body(first, first + rowsAtATime < count ? first + rowsAtATime : count);
  });
}
